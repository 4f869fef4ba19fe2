"""The machine's apt-get, run in a state of our own: it changes nothing on the machine."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from homeops_db.localdb.progress import Progress
from homeops_db.localdb.unavailable import unavailable

# The machine's proxies and credentials stay; its package state, pins and hooks must not reach in.
_CONFIGURATION: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "";
APT::Default-Release "";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "1";
Dir::Etc::sourcelist "{work}/debian.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{work}/state";
Dir::State::lists "{work}/state/lists";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
Dir::Cache::archives "{work}/cache/archives";
Dir::Cache::pkgcache "{work}/cache/pkgcache.bin";
Dir::Cache::srcpkgcache "{work}/cache/srcpkgcache.bin";
"""


def configure(work: Path) -> None:
    """Prepare a folder for apt's state, cache and downloads; a re-run keeps what is there."""
    work.mkdir(exist_ok=True)
    work.chmod(0o700)  # an archive's address may hold a password
    for folder in ("debs", "state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "state" / "status").touch()
    (work / "apt.conf").write_text(_CONFIGURATION.format(work=work))


def ask(arguments: Sequence[str]) -> str:
    """Ask apt-get about the machine itself.

    Raises:
        LocalServerError: It failed; says its first error.
    """
    done = subprocess.run(["apt-get", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise unavailable(f"apt-get {arguments[0]} failed: {first_error(done.stderr)}")
    return done.stdout


def run(
    work: Path, arguments: list[str], *, cwd: Path, progress: Progress | None = None, stage: str = ""
) -> str:
    """Run apt-get in our state.

    Args:
        work: The folder that `configure` prepared.
        arguments: The command and its operands.
        cwd: Where it downloads to.
        progress: Told what apt tells.
        stage: In which words.

    Returns:
        What it printed, errors included.

    Raises:
        LocalServerError: It failed; says its first error.
    """
    if progress is not None:
        progress(stage, 0.0)
    reading, writing = os.pipe()
    command = ["apt-get", "-q", "-c", str(work / "apt.conf"), "-o", f"APT::Status-Fd={writing}", *arguments]
    # Not in the work folder, whose disk may be full: then the reason would be lost.
    with TemporaryFile("w+", errors="replace") as output, os.fdopen(reading, errors="replace") as status:
        try:
            started = subprocess.Popen(
                command,
                cwd=cwd,
                pass_fds=[writing],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"LC_ALL": "C"},
            )
        finally:
            os.close(writing)
        with started as process:
            for line in status:
                _tell(line, progress, stage)
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise unavailable(f"apt-get {arguments[0]} failed: {first_error(said)}")
    return said


def _tell(line: str, progress: Progress | None, stage: str) -> None:
    """Read one line of APT::Status-Fd, like ``dlstatus:4:35.1:Retrieving file 4 of 35``."""
    fields = line.split(":")
    if progress is not None and fields[0] == "dlstatus":
        progress(stage, min(float(fields[2]) / 100, 1.0))


def first_error(output: str) -> str:
    """Choose the line of apt's output that says most: its first error, else its first warning.

    An archive's address may hold a password, which is taken out.
    """
    lines = [re.sub(r"://[^/@\s]*@", "://", line.strip()) for line in output.splitlines() if line.strip()]
    for mark in ("E: ", "W: "):
        if marked := [line.removeprefix(mark) for line in lines if line.startswith(mark)]:
            return marked[0].rstrip(".")
    return lines[-1].rstrip(".") if lines else "no reason given"
