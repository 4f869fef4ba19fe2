"""A no-op `alembic upgrade head` of HomeOps against that of a bare Alembic project on the same server.

Whole processes, interleaved, medians: ``python -m benchmarks.startup [--rounds N] [--json]``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from homeops_db.localdb import server
from homeops_db.settings import PROJECT_ROOT, load

GOAL = 1.15
DATABASES = ("benchmark_homeops", "benchmark_bare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="processes of each kind (default 15)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    local = server.ensure_running(load({}))
    with psycopg.connect(
        local.url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as admin:
        for name in DATABASES:
            admin.execute(f"drop database if exists {name}")
            admin.execute(f"create database {name}")
        try:
            rows = measure(local.url, given.rounds)
        finally:
            for name in DATABASES:
                admin.execute(f"drop database {name} (force)")
    print(json.dumps(rows, indent=2) if given.json else "\n".join(map(line, rows)))
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def measure(url, rounds: int) -> list[dict]:
    urls = [url.set(database=name).render_as_string(hide_password=False) for name in DATABASES]
    with tempfile.TemporaryDirectory() as folder:
        bare = bare_project(Path(folder), urls[1])
        runs = {"homeops": (PROJECT_ROOT, urls[0]), "bare": (bare, urls[1])}
        for cwd, database in runs.values():
            upgrade(cwd, database)
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, (cwd, database) in runs.items():
                taken[name].append(upgrade(cwd, database))
    ours, theirs = (statistics.median(taken[name]) for name in runs)
    return [
        {
            "what": "alembic upgrade head with nothing to do ÷ bare Alembic project",
            "ratio": round(ours / theirs, 3),
            "goal": GOAL,
            "met": ours / theirs <= GOAL,
            "ms": [round(ours * 1000), round(theirs * 1000)],
        }
    ]


def bare_project(folder: Path, url: str) -> Path:
    """What `alembic init` makes, with a URL and one revision."""
    alembic = [sys.executable, "-m", "alembic.config"]
    subprocess.run([*alembic, "init", "alembic"], cwd=folder, check=True, capture_output=True)
    ini = folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("driver://user:pass@localhost/dbname", url.replace("%", "%%")))
    subprocess.run([*alembic, "revision", "-m", "first"], cwd=folder, check=True, capture_output=True)
    return folder


def upgrade(cwd: Path, url: str) -> float:
    environment = {**os.environ, "HOMEOPS_DATABASE_URL": url, "HOMEOPS_ENVIRONMENT": "development"}
    # The command that each project's users type: ours is our own script, a bare one is Alembic's.
    entry = (
        ["-m", "alembic.config"] if cwd != PROJECT_ROOT else [str(Path(sys.executable).parent / "alembic")]
    )
    command = [sys.executable, *entry, "upgrade", "head"]
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def line(row: dict) -> str:
    verdict = "met" if row["met"] else "MISSED"
    return f"{row['what']}: {row['ratio']} (goal ≤ {row['goal']}, {verdict}; medians {row['ms'][0]} and {row['ms'][1]} ms)"


if __name__ == "__main__":
    main()
