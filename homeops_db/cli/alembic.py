"""The `alembic` command: Alembic's own, and ``-x`` is understood behind the command too.

Alembic's parser takes ``-x bump=minor`` only before the command's name, where nobody looks for it.
Everything else is `alembic.config.CommandLine` as it is documented to be extended
(https://alembic.sqlalchemy.org/en/latest/api/commands.html).
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from alembic.config import CommandFunction, CommandLine, Config

from homeops_db.cli import INTERRUPTED, STOPPED, stop_on_sigterm


class HomeOpsCommandLine(CommandLine):
    """Alembic's command line, with ``-x`` on every command."""

    def register_command(self, fn: CommandFunction) -> None:
        """Register a command as Alembic does, then give it ``-x``."""
        super().register_command(fn)
        self.subparsers.choices[fn.__name__].add_argument(
            "-x", action="append", default=[], dest="x_behind", metavar="X", help="as -x before the command"
        )

    def run_cmd(self, config: Config, options: Namespace) -> None:
        """Put every ``-x`` where Alembic looks for it, and run."""
        options.x = [*(options.x or []), *options.x_behind]
        super().run_cmd(config, options)


def main(argv: Sequence[str] | None = None) -> None:
    """Run Alembic's command line."""
    stop_on_sigterm()
    try:
        HomeOpsCommandLine(prog="alembic").main(argv)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(INTERRUPTED)
