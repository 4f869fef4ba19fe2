"""Names of relations in what the server says: found by tokens, not by text, and given to another relation."""

import re
from collections.abc import Mapping
from typing import Final

_WORD: Final = r'(?:"(?:[^"]|"")*"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)'
# Strings and dollar quotes are passed over; a string that is cast to regclass names a relation.
_TOKEN: Final = re.compile(
    r"'(?P<relation>(?:[^'\\]|'')*)'(?=::regclass)"
    r"|[eE]'(?:[^'\\]|\\.|'')*'"
    r"|'(?:[^']|'')*'"
    r"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    rf"|(?P<chain>{_WORD}(?:\.{_WORD})*)(?P<whole>\.\*)?(?P<call>\()?"
    r"|\w+",
    re.DOTALL,
)
_PARTS: Final = re.compile(_WORD)
_PLACE: Final = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_MARK: Final = re.compile(r"⟦(\w+)⟧")


def bare(name: str) -> str:
    """Give a qualified name, as SQL has it, without its schema."""
    return str(_PARTS.findall(name)[-1])


def words(name: str) -> tuple[str, ...]:
    """Give the parts of a qualified name, as SQL has it, without quotes."""
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part for part in _PARTS.findall(name)
    )


def renamed(text: str, names: Mapping[str, tuple[str, str]]) -> str:
    """Have a text speak of other relations.

    Args:
        text: What the server says with an empty search path: every relation is qualified in it, and a
            column with the relation's bare name or an alias, or with nothing.
        names: From each relation's qualified name to another qualified name and a bare one.
    """
    if not names:
        return text
    aliases = {bare(name): new[1] for name, new in names.items()}

    def one(found: re.Match[str]) -> str:
        if (relation := found["relation"]) is not None:
            return f"'{names[relation][0]}'" if relation in names else found[0]
        if found["chain"] is None:
            return found[0]
        words = _PARTS.findall(found["chain"])
        rest = (found["whole"] or "") + (found["call"] or "")
        if (new := names.get(".".join(words[:2]))) is not None:
            return ".".join([new[0], *words[2:]]) + rest
        is_column = found["whole"] or (len(words) == 2 and not found["call"])  # noqa: PLR2004 name and column
        if is_column and words[0] in aliases:
            return ".".join([aliases[words[0]], *words[1:]]) + rest
        return found[0]

    return _TOKEN.sub(one, text)


def templated(text: str, table: str) -> str:
    """Put places where a text speaks of a table, and where a query left marks for one."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    return _MARK.sub(r"{\1}", renamed(escaped, {table: ("{table}", "{alias}")}))


def filled(template: str, values: Mapping[str, str]) -> str:
    """Fill the places of a template."""
    return _PLACE.sub(lambda found: values[found[1]] if found[1] else found[0][0], template)
