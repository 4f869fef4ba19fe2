"""Make .venv and install the project into it. Run by make, with the standard library alone.

    python3 .ci/bootstrap.py .venv            what runs the database
    python3 .ci/bootstrap.py .venv --dev      and what tests it

uv installs in a second where pip takes ten; pip, which knows this machine's own configuration,
takes over where uv doesn't reach an index. Versions are those of constraints.txt.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("venv", type=Path)
    parser.add_argument("--dev", action="store_true", help="install the dev group too")
    given = parser.parse_args()
    python = given.venv.absolute() / "bin" / "python"
    if sys.version_info < (3, 11):  # noqa: UP036 - make may have been given any Python
        sys.exit(
            f"HomeOps DB needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 migrate"
        )
    if not (python.parent / "uv").exists():
        make_venv(given.venv, python)
    group = ["--group", "dev"] if given.dev else []
    uv = [str(python.parent / "uv"), "pip"]
    pip = [str(python), "-m", "pip"]
    common = ["--constraint", str(CONSTRAINTS), "--editable", "."]
    # The project comes last and once more by itself: its `alembic` command replaces the library's.
    if run([*uv, "install", "--quiet", "--python", str(python), *common, *group], check=False):
        run(
            [
                *uv,
                "install",
                "--quiet",
                "--python",
                str(python),
                "--no-deps",
                "--reinstall-package",
                "homeops-db",
                "--editable",
                ".",
            ]
        )
    else:
        print("uv could not install; pip tries.", file=sys.stderr)
        run([str(python), "-m", "ensurepip"], check=False)
        run([*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), pinned("pip")])
        run([*pip, "install", "--quiet", *common, *group])


def make_venv(venv: Path, python: Path) -> None:
    """Make the environment with uv in it; without pip where this Python's own pip can reach into it."""
    print(f"Making {venv} …", file=sys.stderr)
    if importlib.util.find_spec("pip"):
        run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
    elif importlib.util.find_spec("ensurepip"):
        run([sys.executable, "-m", "venv", str(venv)])
        pip = [str(python), "-m", "pip"]
    else:
        sys.exit(
            f"{sys.executable} has neither pip nor ensurepip, so nothing can be installed. "
            "On Debian: apt-get install python3-venv"
        )
    run(
        [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location", pinned("uv")]
    )


def pinned(name: str) -> str:
    match = re.search(rf"^{name}==\S+", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        sys.exit(f"constraints.txt has no version of {name}.")
    return match[0]


def run(arguments: list[str], *, check: bool = True) -> bool:
    # Certificates of the system, as pip and apt use them: behind a proxy there are no others.
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    ended = subprocess.run(arguments, cwd=ROOT, env=environment, check=False)
    if check and ended.returncode != 0:
        sys.exit(f"Failed: {' '.join(arguments)}")
    return ended.returncode == 0


if __name__ == "__main__":
    main()
