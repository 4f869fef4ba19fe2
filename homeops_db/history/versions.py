"""Versions of the schema: ``v`` and a semantic version without pre-release or build."""

from typing import Final, Literal

from semver import Version

from homeops_db.errors import VersionError

Change = Literal["major", "minor", "patch"]
FIRST: Final = "v1.0.0"


def parse(text: str) -> Version:
    """Read a version like ``v1.2.3``.

    Raises:
        VersionError: The text is anything else. Alembic allows no ``-`` or ``+`` in a revision id.
    """
    try:
        version = Version.parse(text.removeprefix("v"))
    except ValueError:
        version = None
    if version is None or f"v{version.finalize_version()}" != text:
        raise VersionError(f"{text!r} is no version. A version is v, and three numbers: v1.2.3.")
    return version


def change_between(old: str | None, new: str) -> Change:
    """Tell which step leads from one version to the next; the first version is a major change."""
    if old is None:
        return "major"
    before, after = parse(old), parse(new)
    if before.major != after.major:
        return "major"
    return "minor" if before.minor != after.minor else "patch"


def following(head: str | None, *, version: str | None = None, bump: str | None = None) -> str:
    """Decide the version of the revision after ``head``.

    Args:
        head: The newest version; None in an empty history.
        version: The version that the author asks for.
        bump: ``major``, ``minor`` or ``patch``, when no version is asked for; minor without either.

    Raises:
        VersionError: Malformed, taken, or not larger than the head.
    """
    if version is not None and bump is not None:
        raise VersionError("version and bump were both given. Give one: -x version=v1.2.3 or -x bump=minor.")
    if version is not None:
        return _checked(head, version if version.startswith("v") else f"v{version}")
    if head is None:
        return FIRST
    match bump or "minor":
        case "major" | "minor" | "patch" as part:
            return f"v{parse(head).next_version(part)}"
    raise VersionError(f"{bump!r} is no bump. Give -x bump=major, -x bump=minor or -x bump=patch.")


def _checked(head: str | None, version: str) -> str:
    wanted = parse(version)
    if head is not None and wanted <= parse(head):
        state = "taken" if version == head else "not larger than the head"
        raise VersionError(
            f"{version} is {state}: the head is {head}. Nothing was written. "
            f"Next come {', '.join(following(head, bump=part) for part in ('patch', 'minor', 'major'))}."
        )
    return version
