"""Settings: what is read, what is refused, and that no secret comes out."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeops_db import database
from homeops_db.errors import SettingsError
from homeops_db.settings import Settings, load
from homeops_db.urls import masked

NO_FILE = Path("/nonexistent/.env")


def read(**environ: str) -> Settings:
    return load(environ, dotenv=NO_FILE)


def test_defaults_are_a_developers() -> None:
    settings = read()
    assert (settings.environment, settings.database_url, settings.timescaledb) == ("development", None, True)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_a_postgresql_url_means_psycopg(scheme: str) -> None:
    url = read(HOMEOPS_DATABASE_URL=f"{scheme}://u:p%40ss@h:5433/d?sslmode=require").database_url
    assert url is not None
    assert (url.drivername, url.password, url.query["sslmode"]) == ("postgresql+psycopg", "p@ss", "require")


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("HOMEOPS_DATABASE_URL", "mysql://u:hunter2@h/d", "PostgreSQL URL"),
        ("HOMEOPS_DATABASE_URL", "sqlite:///hunter2.db", "PostgreSQL URL"),
        ("HOMEOPS_DATABASE_URL", "postgresql://u:hunter2@h:port/d", "PostgreSQL URL"),
        ("HOMEOPS_DATABASE_URL", "postgresql://u:hunter2@h", "PostgreSQL URL"),
        ("HOMEOPS_DATABASE_URL", "hunter2", "PostgreSQL URL"),
        ("HOMEOPS_DATABASE_URL", "postgresql://u:ab@hunter2@h/d", "%40 for an @"),
        ("HOMEOPS_ENVIRONMENT", "prod", "development, staging or production"),
        ("HOMEOPS_LOCK_TIMEOUT", "5", "duration with its unit"),
        ("HOMEOPS_STATEMENT_TIMEOUT", "-1s", "duration with its unit"),
        ("HOMEOPS_STATEMENT_TIMEOUT", "1000h", "up to 24 days"),
        ("HOMEOPS_STATEMENT_TIMEOUT", "9" * 20 + "h", "up to 24 days"),
        ("HOMEOPS_CONNECT_TIMEOUT", "0", "duration with its unit"),
        ("HOMEOPS_BACKUP_FOLDER", "~nobody-here/x", "a folder"),
        ("HOMEOPS_TIMESCALEDB", "maybe", "on or off"),
    ],
)
def test_a_malformed_value_is_told_in_one_line_without_the_value(
    variable: str, value: str, accepted: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{variable: value})
    text = str(caught.value)
    assert variable in text
    assert accepted in text
    assert "\n" not in text
    assert "hunter2" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("4s", 4), ("2 min", 120), ("1h", 3600), ("1.5s", 1.5), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert read(HOMEOPS_STATEMENT_TIMEOUT=text).statement_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize("name", ["ENV", "ENVIROMENT", "DB_URL", "BACKUP_DIR", "WEB_PORT"])
def test_an_unknown_variable_never_passes_for_a_default(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^HOMEOPS_{name} is no setting of HomeOps DB"):
        read(**{f"HOMEOPS_{name}": "production"})


def test_a_near_name_is_proposed() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean HOMEOPS_ENVIRONMENT\?"):
        read(HOMEOPS_ENVIROMENT="production")


def test_dotenv_is_read_and_the_process_wins(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("HOMEOPS_ENVIRONMENT=staging\nHOMEOPS_LOCK_TIMEOUT=1s\n")
    settings = load({"HOMEOPS_LOCK_TIMEOUT": "2s"}, dotenv=dotenv)
    assert (settings.environment, settings.lock_timeout) == ("staging", timedelta(seconds=2))


def test_dotenv_is_taken_to_the_letter_and_must_be_text(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("HOMEOPS_DATABASE_URL=postgresql://u:a${HOME}b@h/d\n")
    url = load({}, dotenv=dotenv).database_url
    assert url is not None
    assert url.password == "a${HOME}b"
    dotenv.write_bytes(b"HOMEOPS_ENVIRONMENT=\xff")
    with pytest.raises(SettingsError, match="isn't UTF-8"):
        load({}, dotenv=dotenv)


def test_a_timeout_is_never_rounded_down_to_none() -> None:
    assert "statement_timeout=1 " in database.options(read(HOMEOPS_STATEMENT_TIMEOUT="0.4ms"))
    with pytest.raises(SettingsError, match="above zero"):
        read(HOMEOPS_LOCK_TIMEOUT="0")


def test_an_empty_value_is_no_value() -> None:
    assert read(HOMEOPS_DATABASE_URL="", HOMEOPS_ENVIRONMENT=" ") == Settings()


def test_the_command_line_must_not_contradict_the_environment() -> None:
    assert load({}, environment="production", dotenv=NO_FILE).environment == "production"
    with pytest.raises(SettingsError, match="--env says production"):
        load({"HOMEOPS_ENVIRONMENT": "staging"}, environment="production", dotenv=NO_FILE)


def test_no_secret_is_shown() -> None:
    settings = read(HOMEOPS_DATABASE_URL="postgresql://u:hunter2@h/d?sslpassword=hunter3&sslmode=require")
    assert settings.database_url is not None
    assert "hunter" not in repr(settings)
    assert masked(settings.database_url) == "postgresql://u:***@h/d?sslmode=require"
