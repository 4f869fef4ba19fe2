"""How a trigger of ours is told to alembic-utils."""

from alembic_utils.pg_trigger import PGTrigger


def row_trigger(table: str, name: str, event: str, call: str) -> PGTrigger:
    """Make the entity of a row trigger.

    Args:
        table: ``schema.table``.
        name: The trigger's own.
        event: When it fires: ``BEFORE UPDATE``.
        call: The function with its arguments.
    """
    return PGTrigger(
        schema=table.partition(".")[0],
        signature=name,
        on_entity=table,
        definition=f"{event} ON {table} FOR EACH ROW EXECUTE FUNCTION {call}",
    )


def audit(table: str, secrets: tuple[str, ...]) -> PGTrigger:
    """Make the trigger that logs a table's changes without its secret columns."""
    arguments = ", ".join(f"'{column}'" for column in secrets)
    return row_trigger(
        table, "record_audit", "AFTER INSERT OR DELETE OR UPDATE", f"core.record_audit({arguments})"
    )


def updated(table: str) -> PGTrigger:
    """Make the trigger that keeps a table's column updated_at."""
    return row_trigger(table, "set_updated_at", "BEFORE UPDATE", "core.set_updated_at()")
