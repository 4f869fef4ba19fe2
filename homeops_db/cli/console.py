"""How things look: tables in colour in a terminal, plain text when piped, JSON for machines."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 160


def console() -> Console:
    """Open the console for results; piped output is wide enough to be cut by nobody."""
    return Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=_PIPED_WIDTH, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Lay out rows under a title; a cell that is Text keeps its style, everything else is plain."""
    laid = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        laid.add_column(column, overflow="fold")
    for row in rows:
        laid.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return laid


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, default=_plain))


def moment(at: datetime | None) -> str:
    """Show a time in the reader's own zone."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
