"""Traffic on a table, and what it feels: point reads and writes at a fixed rate.

It is open-loop: a request's latency counts from the moment it was due, so that a stall is felt by everybody
who would have come, as pgbench's --rate has it.
"""

import multiprocessing
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

import psycopg
import sqlalchemy as sa

CLIENTS = 3
RATE = 100  # requests a second and client, half reads and half writes by key
ENOUGH = 20  # requests, or a percentile of them says nothing
QUIET = 4.0  # seconds of traffic alone before each measurement


@dataclass(frozen=True)
class Load:
    """What the clients send; each statement has one parameter, a number from 1 to rows."""

    read: str
    write: str
    rows: int

    def sender(self, connection: psycopg.Connection, number: int) -> "Sender":
        return Sender(self, connection, random.Random(number))  # noqa: S311 - no secret


@dataclass
class Sender:
    """Sends one client's requests."""

    load: Load
    connection: psycopg.Connection
    chance: random.Random

    def send(self) -> None:
        statement = self.load.read if self.chance.random() < 0.5 else self.load.write  # noqa: PLR2004 - half of them
        self.connection.execute(statement, (self.chance.randint(1, self.load.rows),))

    def end(self) -> None:
        """Do what is left to do when the measurement is over."""


@dataclass(frozen=True)
class Request:
    due: float
    ms: float


@dataclass
class Felt:
    """The latencies of some windows."""

    requests: list[Request] = field(default_factory=list)

    def p99(self) -> float:
        if len(self.requests) < ENOUGH:
            sys.exit(
                f"Only {len(self.requests)} requests fell into a measurement: give more --rows or --rounds."
            )
        latencies = sorted(request.ms for request in self.requests)
        return latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]

    def worst(self) -> float:
        return max((request.ms for request in self.requests), default=0.0)


def pooled(felt: list[Felt]) -> Felt:
    return Felt([request for one in felt for request in one.requests])


def connect(url: sa.URL) -> psycopg.Connection:
    return psycopg.connect(plain(url), autocommit=True)


def plain(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def client(url: str, load: Load, pipe: Pipe, number: int) -> None:
    """One client in a process of its own: a request every 1/RATE seconds, until it is told to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    felt: list[tuple[float, float]] = []
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        sender = load.sender(connection, number)
        due = time.monotonic() + number / RATE / CLIENTS
        while not pipe.poll():
            time.sleep(max(0.0, due - time.monotonic()))
            sender.send()
            now = time.monotonic()
            felt.append((due, (now - due) * 1000))
            due += 1 / RATE
            while due < now - 1 / RATE:  # who would have come meanwhile, would have waited until now
                felt.append((due, (now - due) * 1000))
                due += 1 / RATE
        sender.end()
    pipe.send(felt)


class Traffic:
    def __init__(self, url: sa.URL, load: Load) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipes: list[Pipe] = []
        self.processes = []
        for number in range(CLIENTS):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=client, args=(plain(url), load, theirs, number), daemon=True)
            process.start()
            theirs.close()  # so that its death is seen
            self.pipes.append(ours)
            self.processes.append(process)
        time.sleep(3)  # imports, and caches that warm up
        self.windows: list[tuple[str, float, float]] = []

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.windows.append((name, began, time.monotonic()))

    def quiet(self, seconds: float = QUIET) -> None:
        """Measure the traffic alone."""
        time.sleep(1)
        with self.window("idle"):
            time.sleep(seconds)

    def end(self) -> dict[str, list[Felt]]:
        """What was felt in each window, by name."""
        time.sleep(1)
        for pipe in self.pipes:
            pipe.send(None)
        requests = [Request(*request) for pipe in self.pipes for request in pipe.recv()]
        for process in self.processes:
            process.join(10)
        felt: dict[str, list[Felt]] = {}
        for name, began, ended in self.windows:
            inside = [one for one in requests if one.due <= ended and one.due + one.ms / 1000 >= began]
            felt.setdefault(name, []).append(Felt(inside))
        return felt
