"""The command line: one file a command, which parses, calls one function, prints, and exits."""

import signal
from types import FrameType
from typing import Final, NoReturn

STOPPED: Final = "Stopped. What was committed stays; run the same command again to go on."
INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""


def stop_on_sigterm() -> None:
    """Let SIGTERM end a command as Ctrl-C does: locks given back, children ended, one line printed."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
