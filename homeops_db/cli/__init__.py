"""The command line: one file a command, which parses, calls one function, prints, and exits."""

from typing import Final

STOPPED: Final = "Stopped. What was committed stays; run the same command again to go on."
INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""
