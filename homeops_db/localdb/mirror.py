"""Which Debian archive to download from: the one that the machine's own apt already uses."""

from pathlib import Path
from typing import Final

from homeops_db.localdb import apt
from homeops_db.localdb.unavailable import unavailable

RELEASES: Final = frozenset(
    (
        *("buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"),
        *("oldoldstable", "oldstable", "stable", "testing", "unstable"),
    )
)
"""Suites of a release's main archive: neither security nor updates."""

KEYRINGS: Final = tuple(
    Path(f"/usr/share/keyrings/debian-archive-keyring.{suffix}") for suffix in ("pgp", "gpg")
)

# One line for each index file, of .sources and .list files alike, whether or not it was ever downloaded.
_QUESTION: Final = (
    "indextargets",
    "--no-release-info",
    "--format",
    "$(REPO_URI) $(RELEASE) $(COMPONENT)",
    "Created-By: Packages",
)


def archives() -> list[str]:
    """Ask apt for the archives that may be Debian's, in the machine's order.

    Another vendor may use Debian's suite names; its signature then doesn't match Debian's keyring,
    and the next archive is tried.

    Raises:
        LocalServerError: apt has no such archive, or fails.
    """
    found = chosen(apt.ask(_QUESTION))
    if not found:
        raise unavailable("this machine's apt sources name no Debian archive")
    return found


def chosen(lines: str) -> list[str]:
    """Choose the archive addresses from apt's answer, each once."""
    fields = (line.split() for line in lines.splitlines())
    matching = [f[0] for f in fields if len(f) == 3 and f[1] in RELEASES and f[2] == "main"]  # noqa: PLR2004
    return list(dict.fromkeys(address for address in matching if not address.startswith("cdrom:")))


def keyring() -> Path:
    """Find the installed keyring that Debian's signatures are checked with.

    Raises:
        LocalServerError: There is none.
    """
    for path in KEYRINGS:
        if path.is_file():
            return path
    raise unavailable(f"{KEYRINGS[-1]} is missing (package debian-archive-keyring)")
