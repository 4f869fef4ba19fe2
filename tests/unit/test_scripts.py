"""Revisions on disk: read without running them, and their checksum."""

import ast
import re
from pathlib import Path

import pytest

from homeops_db.errors import HistoryError
from homeops_db.history import scripts
from tests.fixtures.projects import Toy

CODE = '''"""What it does.

More about it.
"""
from alembic import op
revision = "v1.0.0"
def upgrade():
    op.execute("select 1")
'''


def test_layout_comments_and_docstrings_do_not_count() -> None:
    reformatted = CODE.replace('"v1.0.0"', "(\n    'v1.0.0'  # the first\n)").replace(
        "More about it.", "Else."
    )
    assert scripts.checksum(reformatted) == scripts.checksum(CODE)


@pytest.mark.parametrize(
    ("before", "after"),
    [("select 1", "select 2"), ("select 1", "select  1"), ("v1.0.0", "v1.0.1"), ("op.execute(", "op.run(")],
)
def test_an_edit_counts(before: str, after: str) -> None:
    assert scripts.checksum(CODE.replace(before, after)) != scripts.checksum(CODE)


def test_a_type_counts() -> None:
    assert scripts.checksum("a = 1") != scripts.checksum("a = '1'") != scripts.checksum("a = True")


def test_the_sum_is_the_same_for_every_version_of_python() -> None:
    """A text that newer Unicode tables print, and an f-string whose empty parts come and go."""
    assert scripts.checksum('x = "\\U0001fae8"') == scripts.checksum("x = '\U0001fae8'")
    tree = ast.parse('x = f"{y:>{w}}"')
    with_empty = ast.parse('x = f"{y:>{w}}"')
    for node in ast.walk(with_empty):
        if isinstance(node, ast.JoinedStr):
            node.values.append(ast.Constant(""))
    assert list(scripts._written(tree)) == list(scripts._written(with_empty))


def test_nothing_is_run(toy: Toy) -> None:
    toy.add("v1.1.0")
    (toy.folder / "003_v1.2.0_bomb.py").write_text(
        'revision = "v1.2.0"\ndown_revision = "v1.1.0"\nchange = "minor"\nraise SystemExit("run!")\n'
    )
    assert [revision.version for revision in scripts.read(toy.folder)] == ["v1.0.0", "v1.1.0", "v1.2.0"]


def test_a_revision_without_a_downgrade_has_no_rollback_file(toy: Toy) -> None:
    path = toy.add("v1.1.0")
    path.write_text(path.read_text().replace("def downgrade", "def other"))
    assert scripts.read(toy.folder)[-1].rollback_file is None


def test_branches_and_gaps_are_refused(toy: Toy) -> None:
    path = toy.add("v1.1.0")
    other = path.with_name("003_v1.2.0_branch.py")
    other.write_text(path.read_text().replace("v1.1.0", "v1.2.0"))
    with pytest.raises(HistoryError, match="both follow"):
        scripts.read(toy.folder)
    other.write_text(other.read_text().replace("'v1.0.0'", "'v0.9.0'"))
    with pytest.raises(HistoryError, match="no revision leads to"):
        scripts.read(toy.folder)


@pytest.mark.parametrize(
    ("content", "reason"), [("def (", "line 1"), ("revision = 'v1.0.0'", "doesn't set 'down_revision'")]
)
def test_a_file_that_is_no_revision_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "001_v1.0.0_x.py").write_text(content)
    with pytest.raises(HistoryError, match=f"001_v1.0.0_x.py.*{reason}"):
        scripts.read(tmp_path)


@pytest.mark.parametrize(
    ("rename", "change", "law"),
    [
        ("003_v1.1.0_toy.py", "minor", "sequence 002"),
        ("002_v1.2.0_toy.py", "minor", r"version v1\.1\.0"),
        ("002_toy.py", "minor", "NNN_vX.Y.Z"),
        ("002_v1.1.0_toy.py", "major", "change must be 'minor'"),
    ],
)
def test_broken_laws_are_named(toy: Toy, rename: str, change: str, law: str) -> None:
    path = toy.add("v1.1.0", change=change)
    path.rename(path.with_name(rename))
    (problem,) = scripts.broken_laws(scripts.read(toy.folder))
    assert rename in problem
    assert re.search(law, problem)


def test_a_version_that_goes_back_breaks_a_law(toy: Toy) -> None:
    toy.add("v0.9.0", change="major")
    assert any(
        "isn't larger than v1.0.0" in problem for problem in scripts.broken_laws(scripts.read(toy.folder))
    )
