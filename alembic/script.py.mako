"""${described(message)}.

Revision: ${up_revision}, follows ${down_revision or "base"}, ${create_date.date()}

Before you commit (docs/writing-revisions.md says why):
- one kind of work a revision: schema change, backfill, or constraint;
- `op` for new tables and what is instant; on a table in use write `online.` for it, same arguments;
- everything can run again: a failed revision is run again, never mended by hand;
- the downgrade really goes back, or raises and says why it can't;
- nothing of the project is imported but `online`: a revision must still run in five years.
"""
<%!
from homeops_db.history.versions import change_between


def described(message):
    """One line that can stand in a docstring, whatever the message holds."""
    line = " ".join(message.split()).rstrip(".").replace("\\", "/").replace('"', "'")
    return line[:1].upper() + line[1:]


def quoted(value):
    return "None" if value is None else f'"{value}"'


def libraries(imports):
    """What is imported beside sqlalchemy, in the order that the linter wants."""
    return "\n".join(sorted({"from alembic import op", *(imports or "").splitlines()}))
%>
import sqlalchemy as sa
${libraries(imports)}

from homeops_db import online

revision = ${quoted(up_revision)}
down_revision = ${quoted(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
change = ${quoted(change_between(down_revision, up_revision))}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
