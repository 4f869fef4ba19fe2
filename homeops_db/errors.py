"""What can go wrong, as types. A message is one line: fact, consequence, next command.

::

    HomeOpsError                exit 2
    ├── SettingsError           a HOMEOPS_ variable is malformed
    ├── PolicyError             the environment forbids it
    ├── LocalServerError        the local PostgreSQL can't be had or can't start
    ├── DatabaseError           the server doesn't answer, is too old, or denies a privilege
    ├── TargetError             a revision named on the command line doesn't exist or isn't meant
    ├── VersionError            a revision's version is malformed, taken, or not larger
    ├── HistoryError            the revisions on disk break a law of history
    ├── SeedError               a seed file failed and was rolled back
    ├── RevisionFailedError (4) a revision failed; what was done and kept is in the ledger
    ├── NotAsExpectedError  (4) everything ran, and the database isn't what it should be
    ├── OnlineError       (4)   an online operation of a revision stopped
    │   ├── ObjectError         what it names doesn't exist, isn't ours, or is something else
    │   ├── UnsafeError         it can't be done without hurting the traffic
    │   └── ViolationError      rows contradict the constraint or the unique index
    ├── PreflightError    (5)   the database isn't fit to be changed, so nothing was
    ├── BackupError       (6)   no backup, so nothing was changed
    ├── LockError         (7)   another run holds the migration lock, or it was lost
    └── LockTimeoutError  (8)   a table's lock could not be had without hurting the traffic
"""


class HomeOpsError(Exception):
    """An error that teaches: its text is one line, and the user can act on it."""

    exit_code = 2


class SettingsError(HomeOpsError):
    """A ``HOMEOPS_`` variable is malformed."""


class PolicyError(HomeOpsError):
    """The environment forbids what was asked."""


class LocalServerError(HomeOpsError):
    """The local PostgreSQL can't be had, or can't be started."""


class DatabaseError(HomeOpsError):
    """The server can't be reached, is too old, or denies a privilege."""


class TargetError(HomeOpsError):
    """The target of an upgrade, downgrade or stamp is not exact."""


class VersionError(HomeOpsError):
    """A new revision's version is malformed, taken, or not larger than the head."""


class HistoryError(HomeOpsError):
    """The revisions on disk break a law of history."""


class SeedError(HomeOpsError):
    """A seed file failed; nothing of it stays."""


class RevisionFailedError(HomeOpsError):
    """A revision failed. What came before it is kept, and the ledger says so."""

    exit_code = 4


class NotAsExpectedError(HomeOpsError):
    """Everything ran, and the database still isn't what it should be."""

    exit_code = 4


class OnlineError(HomeOpsError):
    """An online operation stopped. What it has finished stays, and a re-run goes on from there."""

    exit_code = 4


class ObjectError(OnlineError):
    """What an operation names doesn't exist, belongs to another role, or is something else by that name."""


class UnsafeError(OnlineError):
    """An operation can't be done online. Nothing was changed."""


class ViolationError(OnlineError):
    """Rows contradict what a constraint or a unique index says."""


class PreflightError(HomeOpsError):
    """The database isn't fit to be changed. Nothing was."""

    exit_code = 5


class BackupError(HomeOpsError):
    """The backup failed, so nothing else was started."""

    exit_code = 6


class LockError(HomeOpsError):
    """Another run holds the migration lock, or ours was lost."""

    exit_code = 7


class LockTimeoutError(HomeOpsError):
    """A table's lock could not be had without hurting the traffic. The text is a report of several lines.

    ``tries`` is how often it was asked for, ``victims`` how many sessions waited behind that, and
    ``victim_ms`` how long in all.
    """

    exit_code = 8

    def __init__(self, report: str, *, tries: int = 0, victims: int = 0, victim_ms: float = 0.0) -> None:
        super().__init__(report)
        self.tries = tries
        self.victims = victims
        self.victim_ms = victim_ms
