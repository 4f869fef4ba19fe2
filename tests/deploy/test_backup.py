"""A backup by itself: where it is written, what is left of a failed one, what others can see of it."""

from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from homeops_db.backup import dump
from homeops_db.errors import BackupError


def test_no_partial_backup_stays(database_url: URL, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="pg_dump"):
        dump.create(
            database_url,
            tmp_path / "b",
            bin_folder=tmp_path,
            server_version="17",
            version="v1.0.0",
            application="tests",
        )
    assert list((tmp_path / "b").iterdir()) == []


def test_the_password_is_in_no_argument(tmp_path: Path, database_url: URL) -> None:
    """pg_dump is replaced by a program that writes down what everybody can see of it."""
    seen = tmp_path / "seen"
    fake = tmp_path / "pg_dump"
    fake.write_text(
        f'#!/bin/sh\ntr "\\0" " " < /proc/$$/cmdline > {seen}\necho >> {seen}\necho "pw=$PGPASSWORD" >> {seen}\nexit 1\n'
    )
    fake.chmod(0o755)
    with pytest.raises(BackupError) as caught:
        dump.create(
            database_url.set(password="hunter2"),
            tmp_path / "b",
            bin_folder=tmp_path,
            server_version="17",
            version=None,
            application="tests",
        )
    arguments, environment = seen.read_text().splitlines()
    assert "hunter2" not in arguments + str(caught.value)
    assert environment == "pw=hunter2"


def test_a_databases_name_leads_nowhere(tmp_path: Path, database_url: URL) -> None:
    with pytest.raises(BackupError):
        dump.create(
            database_url.set(database="../../outside"), tmp_path / "a" / "b", bin_folder=tmp_path, server_version="17",
            version=None, application="tests",
        )  # fmt: skip
    assert dump._prefix(database_url.set(database="../../outside")) == "_.._outside-"
