"""`alembic revision --autogenerate` writes ``online.`` for tables in use, and plain ``op.`` for new ones."""

from collections.abc import Iterator, Sequence
from typing import Final

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

_TWINS: Final = (
    ops.AddColumnOp,
    ops.AlterColumnOp,
    ops.CreateCheckConstraintOp,
    ops.CreateForeignKeyOp,
    ops.CreateIndexOp,
    ops.CreateUniqueConstraintOp,
    ops.DropColumnOp,
    ops.DropConstraintOp,
    ops.DropIndexOp,
)
"""Operations that ``online`` has under the same name, with the same arguments."""

Name = tuple[str | None, str]


class OnlineOp(ops.MigrateOperation):
    """One of Alembic's own operations, to be written as its ``online`` twin."""

    def __init__(self, twin: ops.MigrateOperation) -> None:
        self.twin = twin


def render_online(_: MigrationContext, __: object, directives: list[ops.MigrationScript]) -> None:
    """Mark the operations of a new revision that are to be written as ``online``: a directives hook.

    An online operation commits what came before it, without the version. So where a direction has both
    kinds, the plain ones come last, in one transaction with the version. New tables that an online
    foreign key refers to must come first: they are made only if need be, which a re-run gets past.
    ``online`` itself is imported by script.py.mako, for revisions written by hand too. (Hook and
    renderers are Alembic's own interfaces:
    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#customizing-revision-generation)
    """
    for script in directives:
        for direction in (*script.upgrade_ops_list, *script.downgrade_ops_list):
            _rewrite(direction)


def _rewrite(direction: ops.OpContainer) -> None:
    flat = list(_flat(direction))
    new = {_table(each) for each in flat if isinstance(each, ops.CreateTableOp | ops.DropTableOp)}
    in_use = [each for each in flat if isinstance(each, _TWINS) and _table(each) not in new]
    if not in_use:
        return
    plain = [each for each in flat if each not in in_use]
    first = _made(plain) if any(_referent(each) in new for each in in_use) else []
    last = [each for each in plain if each not in first]
    direction.ops = [*first, *map(OnlineOp, in_use), *last]


def _made(plain: Sequence[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    made: list[ops.MigrateOperation] = []
    for each in plain:
        if isinstance(each, ops.CreateTableOp | ops.CreateIndexOp):
            each.if_not_exists = True
            made.append(each)
    return made


def _referent(operation: ops.MigrateOperation) -> Name | None:
    if isinstance(operation, ops.CreateForeignKeyOp):
        return operation.kw.get("referent_schema"), operation.referent_table
    return None


def _flat(container: ops.OpContainer) -> Iterator[ops.MigrateOperation]:
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            yield from _flat(each)
        else:
            yield each


def _table(operation: ops.MigrateOperation) -> Name:
    if isinstance(operation, ops.CreateForeignKeyOp):
        return operation.kw.get("source_schema"), operation.source_table
    return getattr(operation, "schema", None), getattr(operation, "table_name", "")


@renderers.dispatch_for(OnlineOp)
def _render(context: AutogenContext, operation: OnlineOp) -> Sequence[str]:
    # Names keep op.f(), which says that the naming convention has been applied to them.
    prefix = str(context.opts["alembic_module_prefix"])
    return [
        "online." + line.removeprefix(prefix) if line.startswith(prefix) else line
        for line in render_op(context, _lean(operation.twin))
    ]


def _lean(twin: ops.MigrateOperation) -> ops.MigrateOperation:
    """Leave out what PostgreSQL has no use for."""
    if isinstance(twin, ops.DropIndexOp):
        # A name is enough to drop by: what the index was like stands in the other direction.
        return ops.DropIndexOp(twin.index_name, twin.table_name, schema=twin.schema)
    if isinstance(twin, ops.AlterColumnOp):
        twin.kw.pop("autoincrement", None)  # MySQL's
    return twin
