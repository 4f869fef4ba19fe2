"""Two dumps of one version: the same but for what means the same."""

import difflib
import re
from typing import Final

# The numbers of online changes differ from run to run: they are rows of migrations.changes.
_NUMBERED: Final = (
    (re.compile(r"\bhomeops_(new|old)_\d+\b"), r"homeops_\1_N"),
    (re.compile(r"\bmigrations\.([a-z_]+?)_\d+\b"), r"migrations.\1_N"),
)
# What they keep beside a table: bodies say how far a change is, and a column that is built again stands last.
_BODY: Final = re.compile(
    r"^(CREATE FUNCTION migrations\.\w+_N\(.*?)\n\s+AS \$\$.*?\$\$;$", re.MULTILINE | re.DOTALL
)
_TABLE: Final = re.compile(r"^CREATE TABLE (?P<name>\S+) \(\n(?P<body>.*?)\n\)", re.MULTILINE | re.DOTALL)
_APART: Final = ("CONSTRAINT ", "homeops_new_", "homeops_old_")
_NOT_VALID: Final = re.compile(r" NOT VALID;$", re.MULTILINE)


def meaning(dump: str, *, ordered: bool) -> list[str]:
    """Write a dump so that equal schemas are equal: constraints stand by themselves, validated or not."""
    for pattern, name in _NUMBERED:
        dump = pattern.sub(name, dump)
    dump = _BODY.sub(r"\1;", dump)
    apart: list[str] = []

    def taken_out(match: re.Match[str]) -> str:
        lines = [line.strip().removesuffix(",") for line in match["body"].splitlines()]
        apart.extend(
            f"ALTER TABLE {match['name']}\n    ADD {line};" for line in lines if line.startswith(_APART)
        )
        columns = [line for line in lines if not line.startswith(_APART)]
        return "\n".join([f"CREATE TABLE {match['name']} (", *(columns if ordered else sorted(columns))])

    dump = _NOT_VALID.sub(";", _TABLE.sub(taken_out, dump))
    parts = re.split(r"(?<=;)\n", dump)
    return sorted([part.strip() for part in parts] + apart)


def differences(one: str, other: str, *, ordered: bool = True) -> str:
    """Say how two dumps differ; nothing, if they mean the same.

    Args:
        one: A dump.
        other: Another one.
        ordered: Whether the order of a table's columns counts.
    """
    was, now = (meaning(dump, ordered=ordered) for dump in (one, other))
    if was == now:
        return ""
    lines = difflib.unified_diff("\n".join(was).splitlines(), "\n".join(now).splitlines(), lineterm="", n=2)
    return "\n".join(lines)
