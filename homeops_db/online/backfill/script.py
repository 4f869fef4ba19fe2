"""Backfills in a ``--sql`` script: procedures that ask the catalog when psql runs them, and commit by batch.

What is to be done is told to them as JSON, in a literal that nothing in it can end.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from alembic import op
from psycopg import sql

from homeops_db import database
from homeops_db.catalog import assignments, heap, scripted, tables
from homeops_db.history import backfills
from homeops_db.locking import pace, policy
from homeops_db.locking.policy import Policy
from homeops_db.online.backfill import claim, job, syntax, telling
from homeops_db.online.backfill.job import Job
from homeops_db.online.backfill.source import Source
from homeops_db.online.subject import Named, quoted
from homeops_db.online.work import Script

_MS: Final = timedelta(milliseconds=1)
# With row_security off, the server refuses what a policy would hide.
_SETTINGS: Final = {
    "row_security": "off",
    "jit": "off",
    "enable_tidscan": "on",
    "default_transaction_isolation": "'read committed'",
}
_LEAF: Final = "{homeops leaf}"
_NAMES: Final = "{homeops names}"
_CONDITION: Final = "{homeops condition}"


def write_backfill(
    out: Script, table: Named, values: Mapping[str, str], where: str | None, *, vacuum: bool = True
) -> None:
    """Write the filling of columns.

    Args:
        out: The script.
        table: The table.
        values: SQL expressions by the columns that they are assigned to.
        where: The condition of the rows that are meant.
        vacuum: Whether to VACUUM (ANALYZE) at the end.

    Raises:
        ObjectError: There is no column, or an expression or the condition isn't one.
    """
    nulls = telling.empty_columns(table, values, where)
    alias = sql.Identifier(table[0]).as_string()
    assigned = ", ".join(
        f"{sql.Identifier(column).as_string()} = ({text})" for column, text in values.items()
    )
    told = {
        "before": "UPDATE ONLY ",
        "between": f" AS {alias} SET {assigned} WHERE ",
        "behind": f" AND ({where or 'true'})",
        "columns": list(values),
        "expressions": list(values.values()),
        "nulls": nulls,
        "where": where,
    }
    _write(out, "backfill", table, {"values": dict(values), "where": where}, _of(table, told))
    _write_end(out, table, vacuum=vacuum)


def write_delete(out: Script, table: Named, where: str, *, vacuum: bool = True) -> None:
    """Write the removal of rows.

    Args:
        out: The script.
        table: The table.
        where: The condition of the rows that are removed.
        vacuum: Whether to VACUUM (ANALYZE) at the end.

    Raises:
        ObjectError: The condition isn't one.
    """
    syntax.condition(where, "The condition where=")
    told = {
        "before": "DELETE FROM ONLY ",
        "between": f" AS {sql.Identifier(table[0]).as_string()} WHERE ",
        "behind": f" AND ({where})",
        "columns": [],
        "todo": where,
        "still": "false",
    }
    _write(out, "batched_delete", table, {"where": where}, _of(table, told))
    _write_end(out, table, vacuum=vacuum)


def write_insert(
    out: Script,
    target: Named,
    source: Source,
    columns: Sequence[str] | None,
    on_conflict: Literal["error", "nothing"] = "error",
    *,
    vacuum: bool = True,
) -> None:
    """Write the copying of rows. A first table of the select without a unique key is refused when it runs.

    Args:
        out: The script.
        target: The table that the rows go into.
        source: The select.
        columns: The target's columns, in the order of the select's; all of them, in theirs, when None.
        on_conflict: Whether a row that is there already is an error, or is left as it is.
        vacuum: Whether to VACUUM (ANALYZE) the target at the end.
    """
    definition = {"select": source.text, "columns": columns and list(columns), "on_conflict": on_conflict}
    _write(out, "batched_insert", target, definition, _copying(target, source, columns, on_conflict))
    _write_end(out, target, vacuum=vacuum)


def _of(table: Named, told: dict[str, Any]) -> dict[str, Any]:
    return {"table": quoted(table), "alias": table[0], **told}


def _copying(
    target: Named, source: Source, columns: Sequence[str] | None, on_conflict: str
) -> dict[str, Any]:
    """Take the statement apart at what only the server knows: columns, partitions, places."""
    names = "" if columns is None else f"({', '.join(sql.Identifier(name).as_string() for name in columns)}) "
    end = " ON CONFLICT DO NOTHING" if on_conflict == "nothing" else ""
    piece = source.narrowed(_LEAF, _CONDITION, [_NAMES])
    text = f"INSERT INTO {quoted(target)} {names}{piece}{end}"
    before, rest = text.split(sql.Identifier(_NAMES).as_string())
    named, rest = rest.split(_LEAF)
    between, behind = rest.split(_CONDITION)
    place = sql.Identifier(source.called, "ctid").as_string()
    return {
        "table": quoted((source.name, source.schema)),
        "alias": source.called,
        "target": quoted(target),
        "only": source.is_only,
        "before": before,
        "named": named,
        "between": between,
        "behind": behind,
        "check": f"EXPLAIN {source.text} ORDER BY {place}",
        "columns": [],
        "still": "false",
    }


def _write(
    out: Script, operation: str, subject: Named, definition: Mapping[str, Any], told: Mapping[str, Any]
) -> None:
    name, schema = subject
    revision, direction = _revision()
    label = f"{schema or 'public'}.{name}"  # the script's search_path
    print_ = claim.fingerprint(Job(operation, label, definition, job.delete(name), name), revision)
    limits = policy.current(Policy())
    given = {
        "operation": operation,
        "subject": label,
        **told,
        "definition": definition,
        "version": revision,
        "direction": direction,
        "fingerprint": print_,
        "lock": backfills.lock_key(print_),
        "lock_timeout": f"{limits.lock_timeout / _MS:.0f}ms",
        "give_up_after": limits.give_up_after / _MS,
        "pace": pace.current().as_json(),
    }
    first = f"{database.LOCK_TIMEOUT / _MS:.0f}ms"
    out.write(f"SET lock_timeout = '{first}'", "SET statement_timeout = 0")
    out.write(*(f"SET {name} = {value}" for name, value in _SETTINGS.items()))
    out.write_psql(_procedures())
    out.write(
        f"CALL pg_temp.homeops_batches({_dollar_quoted(json.dumps(given, indent=1, ensure_ascii=False))})"
    )
    out.write(*(f"RESET {name}" for name in _SETTINGS))


def _write_end(out: Script, table: Named, *, vacuum: bool) -> None:
    if vacuum:
        parts = tables.TREE.strip() % {"oid": f"{sql.quote(quoted(table))}::regclass"}
        out.write("SET lock_timeout = 0")
        out.write_psql(
            "SELECT format('VACUUM (ANALYZE, TRUNCATE FALSE) %I.%I', t.schema, t.name)\n"
            f"FROM ({parts}) t WHERE t.kind = 'r' AND pg_relation_size(t.oid::regclass) > 0 \\gexec"
        )
    out.write_alone()  # sets the timeouts back


def _procedures() -> str:
    """Fill what the catalog is asked into the procedures."""
    leaf = {"relation": "leaf"}
    asked = {
        "assignment": assignments.ASSIGNMENT % {"oid": "relation", "name": "names[place]"},
        "column_numbers": scripted.COLUMN_NUMBERS.format(
            relation="relation", names="array(SELECT jsonb_array_elements_text(job -> 'columns'))"
        ),
        "column_names": scripted.COLUMN_NAMES.format(relation="relation"),
        "is_there": scripted.IS_THERE.format(**leaf),
        "keys": heap.KEYS % {"oid": "leaf"},
        "name": scripted.NAME.format(**leaf),
        "pages": heap.BLOCKS % "leaf",
        "read_by_index": assignments.READ_BY_INDEX % {"index": "'pg_temp.homeops_reads'"},
        "read_by_view": scripted.READ_BY_VIEW.format(relation="relation", view="'pg_temp.homeops_reads'"),
        "rows_per_page": scripted.ROWS_PER_PAGE.format(**leaf),
        "target_tree": tables.TREE % {"oid": "(job ->> 'target')::regclass"},
        "tree": tables.TREE % {"oid": "relation"},
        "writers": scripted.WRITERS.format(**leaf),
    }
    text = "".join(
        Path(__file__).with_name(file).read_text(encoding="utf-8")
        for file in ("script_batch.sql", "script_walk.sql", "script_run.sql")
    )
    for name, query in asked.items():
        text = text.replace(f"{{{name}}}", query.strip())
    return text


def _revision() -> tuple[str | None, str | None]:
    """Name the revision that is written, and the direction; none outside of env.py."""
    recorder = op.get_context().opts.get("homeops_recorder")
    if recorder is None or recorder.current is None:
        return None, None
    version = recorder.current_revision.version
    return version, "upgrade" if recorder.current.info.is_upgrade else "downgrade"


def _dollar_quoted(text: str) -> str:
    tag = "$homeops$"
    while tag in text:
        tag = f"{tag[:-1]}_$"
    return f"{tag}{text}{tag}"
