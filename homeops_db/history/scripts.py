"""The revisions on disk, read as text: nothing is imported or run, so ``status`` stays instant."""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from homeops_db.errors import HistoryError
from homeops_db.history.versions import change_between, parse
from homeops_db.settings import PROJECT_ROOT

VERSIONS_FOLDER: Final = PROJECT_ROOT / "alembic" / "versions"
_FILE: Final = re.compile(r"(?P<sequence>\d{3,})_(?P<version>v\d+\.\d+\.\d+)_(?P<slug>\w+)\.py")


@dataclass(frozen=True)
class Revision:
    """One revision file. ``checksum`` is of its code: layout, comments and docstrings don't count."""

    version: str
    down: str | None
    change: str
    description: str
    path: Path
    checksum: str
    reversible: bool

    @property
    def file(self) -> str:
        """The file's name, as the ledger records it."""
        return self.path.name

    @property
    def rollback_file(self) -> str | None:
        """The file that holds the downgrade: the same one, or None where it can't be reversed."""
        return self.path.name if self.reversible else None


def read(folder: Path = VERSIONS_FOLDER) -> list[Revision]:
    """Read all revisions, from the first to the head.

    Raises:
        HistoryError: A file can't be read as a revision, or the history isn't one line.
    """
    by_down: dict[str | None, Revision] = {}
    for path in sorted(folder.glob("*.py")):
        revision = _read_one(path)
        if revision.down in by_down:
            raise HistoryError(
                f"{path.name} and {by_down[revision.down].file} both follow {revision.down or 'base'}. "
                "The history must be one line: set down_revision of the newer one to the other's version."
            )
        by_down[revision.down] = revision
    line: list[Revision] = []
    while (following := by_down.pop(line[-1].version if line else None, None)) is not None:
        line.append(following)
    if by_down:
        lost = next(iter(by_down.values()))
        raise HistoryError(
            f"{lost.file} follows {lost.down}, which no revision leads to. Mend its down_revision."
        )
    return line


def broken_laws(revisions: list[Revision]) -> list[str]:
    """Name every law of history that the revisions break, one line each; an empty list is good news."""
    return [
        problem
        for sequence, revision in enumerate(revisions, start=1)
        for problem in _broken(sequence, revision)
    ]


def checksum(source: str) -> str:
    """Fingerprint a revision's code: sha256 over its syntax tree without docstrings.

    A reformat or a comment leaves it alone, an edit of code or SQL changes it. The tree is written
    out here rather than by `ast.dump`, whose text changes between versions of Python.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return hashlib.sha256("\n".join(_written(tree)).encode()).hexdigest()


def _written(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            # Empty fields are left out: a newer Python that adds one must not change the sum.
            if value not in (None, []) and name not in {"ctx", "kind", "type_comment"}:
                yield name
                yield from _written(value)
    elif isinstance(node, list):
        yield "["
        for item in node:
            # Some versions of Python put empty texts between the parts of an f-string.
            if not (isinstance(item, ast.Constant) and item.value == ""):
                yield from _written(item)
        yield "]"
    else:
        yield ascii(node)  # repr() would follow the version's Unicode tables


def _read_one(path: Path) -> Revision:
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source)
        named = dict(_constants(tree))
        return Revision(
            version=named["revision"],
            down=named["down_revision"],
            change=named.get("change", ""),
            description=(ast.get_docstring(tree) or path.stem).splitlines()[0].rstrip("."),
            path=path,
            checksum=checksum(source),
            reversible=any(isinstance(n, ast.FunctionDef) and n.name == "downgrade" for n in tree.body),
        )
    except SyntaxError as error:
        raise HistoryError(f"{path.name}, line {error.lineno}: {error.msg}. Mend the file.") from None
    except KeyError as missing:
        raise HistoryError(
            f"{path.name} doesn't set {missing}. Every revision does: see docs/writing-revisions.md."
        ) from None


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
                yield name, value


def _broken(sequence: int, revision: Revision) -> Iterator[str]:
    match = _FILE.fullmatch(revision.file)
    if match is None:
        yield f"{revision.file}: a revision's file is called NNN_vX.Y.Z_what_it_does.py"
    elif int(match["sequence"]) != sequence or match["version"] != revision.version:
        yield f"{revision.file}: sequence {sequence:03d} and version {revision.version} belong in the name"
    if revision.down is not None and parse(revision.version) <= parse(revision.down):
        yield f"{revision.file}: {revision.version} isn't larger than {revision.down}"
    if revision.change != change_between(revision.down, revision.version):
        yield f"{revision.file}: change must be {change_between(revision.down, revision.version)!r}"
