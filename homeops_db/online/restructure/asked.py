"""What the author asks for, looked up: the two shapes of the table, and what each is made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Computed

from homeops_db.catalog import columns, hanging, heap, manifest
from homeops_db.catalog.columns import Column
from homeops_db.catalog.manifest import Item
from homeops_db.catalog.tables import Table
from homeops_db.errors import ObjectError
from homeops_db.online.restructure import carried, declared, formulas
from homeops_db.online.restructure.operation import Restructure
from homeops_db.online.restructure.sides import Field, Shape
from homeops_db.online.type_change import expressions
from homeops_db.online.work import Work

_STORED: Final = {"s": "STORED", "v": "VIRTUAL"}
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def shapes(work: Work, table: Table, asked: Restructure) -> tuple[Shape, Shape]:
    """Look up what a restructure leads from, and to.

    Raises:
        ObjectError: A name isn't there, an expression can't be read, or a way there or back is missing.
        UnsafeError: An expression may change by itself.
    """
    found = columns.qualified(work.connection, table.oid)
    old = [_as_is(one) for one in found]
    new = _new(work, table, asked, old)
    up = _formulas(work, table, "transform", asked.transform, old, new)
    down = _formulas(work, table, "back", asked.back, new, old)
    _refuse_lost(table, "transform", "back", _reads(up.values()), down, old)
    _refuse_lost(table, "back", "transform", _reads(down.values()), up, new)
    key = _key(work, table, up, down)
    before = Shape(old, [name for name, _ in key], down)
    after = Shape(
        new,
        [name for _, name in key],
        up,
        partition_by=asked.partition_by,
        partitions=dict(asked.partitions),
    )
    return _with_items(work, table, asked, before, after)


def _with_items(work: Work, table: Table, asked: Restructure, old: Shape, new: Shape) -> tuple[Shape, Shape]:
    """Share out what hangs on one of the shapes alone."""
    items = manifest.read(work.connection, table.oid).items
    gone = {one.name for one in old.fields} - {one.name for one in new.fields}
    refuse_unknown(table, asked.drop, items, [one.name for one in old.fields])
    leaving = [one for one in items if carried.is_of_column(one, gone) or is_named(one, asked.drop)]
    made = [item for one in _columns(asked) for item in declared.made(one, old)]
    for name in carried.retyped(old, new):
        typed = carried.typed(table, name, old, new)
        changing = [one for one in items if one.name == name and carried.is_typed(one)]
        leaving += changing
        made += [one for item in changing for one in carried.converted(work, typed, item)]
    if asked.primary_key is not None:
        keys = [one for one in items if one.kind == "primary key"]
        leaving += keys
        made.append(declared.primary_key(table, keys, asked.primary_key))
        known = {one.name for one in (*items, *made) if one.kind == "column not null"}
        made += [declared.not_null(name) for name in asked.primary_key if name not in known]
    _refuse_empty(table, "transform", new, made, {one.name for one in old.fields})
    _refuse_empty(table, "back", old, leaving, {one.name for one in new.fields})
    return replace(old, only=leaving), replace(new, only=made)


def is_so(work: Work, table: Table, asked: Restructure) -> bool:
    """Whether the table has the columns that are asked for already, as a script leaves it."""
    there = {one.name: one.type for one in columns.qualified(work.connection, table.oid)}
    said = {one if isinstance(one, str) else one.name for one in asked.columns if one is not ...}
    if not _columns(asked) or said - there.keys() or set(asked.drop) & there.keys():
        return False
    types = {one.name: _field(work, one, None).type for one in _columns(asked)}
    return all(there[name] == type_ for name, type_ in types.items())


def refuse_unknown(table: Table, drop: Iterable[str], items: Sequence[Item], fields: Sequence[str]) -> None:
    """Refuse to drop what isn't there.

    Raises:
        ObjectError: A name is neither a column's nor that of anything that hangs on the table.
    """
    unknown = [
        name for name in drop if name not in fields and not any(is_named(one, [name]) for one in items)
    ]
    if unknown:
        raise ObjectError(
            f"drop= names {', '.join(unknown)}, and {table} has no column, index, constraint, statistics or "
            "trigger of that name. Nothing was changed. Check the names in the revision."
        )


def _as_is(column: Column) -> Field:
    generated = ""
    if column.generated:
        generated = f" GENERATED ALWAYS AS ({column.default}) {_STORED[column.generated]}"
    return Field(column.name, column.type, column.collation, generated)


def _columns(asked: Restructure) -> list[sa.Column[Any]]:
    return [one for one in asked.columns if isinstance(one, sa.Column)]


def _new(work: Work, table: Table, asked: Restructure, old: Sequence[Field]) -> list[Field]:
    """Give the new shape's columns, in their order."""
    known = {one.name: one for one in old}
    said = [one if isinstance(one, str) else one.name for one in asked.columns if one is not ...]
    wrong = [name for name in {*asked.transform} if name not in {*said, *known}]
    missing = [one for one in asked.columns if isinstance(one, str) and one not in known]
    twice = [name for name in said if said.count(name) > 1 or name in asked.drop]
    if missing or twice or wrong or list(asked.columns).count(...) > 1:
        odd = ", ".join(map(str, dict.fromkeys([*missing, *twice, *wrong]))) or "..."
        raise ObjectError(
            f"The columns of {table} aren't clear: {odd} isn't there, or is said twice, or is dropped too. "
            "Nothing was changed. Check columns=, drop= and transform= in the revision."
        )
    rest = [one for one in old if one.name not in {*said, *asked.drop}]
    new: list[Field] = []
    for one in asked.columns:
        if isinstance(one, str):
            new.append(known[one])
        elif isinstance(one, sa.Column):
            new.append(_field(work, one, known.get(one.name)))
        else:
            new += rest
    return new


def _field(work: Work, column: "sa.Column[Any]", before: Field | None) -> Field:
    type_ = columns.type_name(work.connection, column.type.compile(dialect=_DIALECT), is_qualified=True)
    collation = getattr(column.type, "collation", None)
    if collation is not None:
        collation = sql.Identifier(str(collation)).as_string()
    elif before is not None and hanging.is_collatable(work.connection, type_):
        collation = before.collation
    generated = declared.generated_of(column.computed) if isinstance(column.computed, Computed) else ""
    return Field(column.name, type_, collation, generated)


def _formulas(  # noqa: PLR0917
    work: Work,
    table: Table,
    what: str,
    written: Mapping[str, str],
    reads: Sequence[Field],
    gives: Sequence[Field],
) -> dict[str, str]:
    """Give the formula of every column that is made from the other shape."""
    read = formulas.canonical(work, table, what, written, reads=reads, gives=gives)
    there = {one.name: one for one in reads}
    found: dict[str, str] = {}
    for field in gives:
        other = there.get(field.name)
        if field.generated:
            continue
        if field.name in read:
            found[field.name] = read[field.name]
        elif other is not None and other.type == field.type:
            found[field.name] = formulas.plain(field.name)
        elif other is not None:
            raise ObjectError(
                f"Column {table}.{field.name} gets another type, and {what}= doesn't say how it is made as "
                f'{field.type} of {other.type}. Nothing was changed. Say {what}={{"{field.name}": "…"}}.'
            )
    return found


def _reads(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in expressions.reads(text)}


def _refuse_lost(  # noqa: PLR0917
    table: Table, reading: str, missing: str, read: set[str], made: Mapping[str, str], fields: Sequence[Field]
) -> None:
    """Refuse a column that the other shape is made of, and that nothing makes on the way back."""
    lost = [one.name for one in fields if one.name in read and one.name not in made and not one.generated]
    if lost:
        raise ObjectError(
            f"{reading}= reads {', '.join(lost)} of {table}, and nothing says how that is made on the other "
            f"way, so what is written to the other shape would be lost. Nothing was changed. Say {missing}=."
        )


def _key(work: Work, table: Table, up: Mapping[str, str], down: Mapping[str, str]) -> list[tuple[str, str]]:
    """Find a key by which the same row is found in both shapes: pairs of columns."""
    for key in heap.keys(work.connection, table.oid):
        pairs = [(name, _image(name, up, down)) for name in key.columns]
        if all(new is not None for _, new in pairs):
            return [(name, str(new)) for name, new in pairs]
    raise ObjectError(
        f"{table} has no unique key without nulls whose columns are in both shapes, so nobody could tell "
        "which rows belong together. Nothing was changed. Give it a primary key first, and keep its columns."
    )


def _image(name: str, up: Mapping[str, str], down: Mapping[str, str]) -> str | None:
    """Find the column that is made of this one alone, and makes it."""
    found = [
        new
        for new, text in up.items()
        if expressions.reads(text) == [name] and expressions.reads(down.get(name, "NULL")) == [new]
    ]
    return name if name in found else next(iter(found), None)


def is_named(item: Item, names: Sequence[str]) -> bool:
    """Whether an author's name means this; what has a schema in its name is meant without it too."""
    if item.kind.startswith(("column", "right", "owner", "option")):
        return False
    bare = item.name.rpartition(".")[2]
    return any(
        name in {item.name, bare} or sql.Identifier(name).as_string() in {f'"{item.name}"', item.name, bare}
        for name in names
    )


def _refuse_empty(table: Table, what: str, shape: Shape, only: Sequence[Item], others: set[str]) -> None:
    """Refuse a column without NULLs that would have no value in a new row."""
    kinds = {(item.kind, item.name) for item in only}
    empty = [
        one.name
        for one in shape.fields
        if one.name not in shape.formulas
        and one.name not in others
        and not one.generated
        and ("column not null", one.name) in kinds
        and not kinds & {("column default", one.name), ("column identity", one.name)}
    ]
    if empty:
        raise ObjectError(
            f"Column {', '.join(empty)} of {table} takes no NULL, and nothing says what it is in a row that "
            f"is written to the other shape. Nothing was changed. Say {what}=, or give it a default first."
        )
