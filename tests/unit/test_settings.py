"""Settings: what is read, what is refused, and that no secret comes out."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeops_db.errors import SettingsError
from homeops_db.settings import Settings, load, masked

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
        ("HOMEOPS_ENVIRONMENT", "prod", "development, staging or production"),
        ("HOMEOPS_LOCK_TIMEOUT", "5", "duration with its unit"),
        ("HOMEOPS_STATEMENT_TIMEOUT", "-1s", "duration with its unit"),
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
    assert read(HOMEOPS_LOCK_TIMEOUT=text).lock_timeout == timedelta(seconds=seconds)


def test_a_misspelt_variable_is_refused_and_a_strangers_is_not() -> None:
    with pytest.raises(SettingsError, match="did you mean HOMEOPS_ENVIRONMENT"):
        read(HOMEOPS_ENVIROMENT="production")
    assert read(HOMEOPS_WEB_PORT="8080") == Settings()


def test_dotenv_is_read_and_the_process_wins(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("HOMEOPS_ENVIRONMENT=staging\nHOMEOPS_LOCK_TIMEOUT=1s\n")
    settings = load({"HOMEOPS_LOCK_TIMEOUT": "2s"}, dotenv=dotenv)
    assert (settings.environment, settings.lock_timeout) == ("staging", timedelta(seconds=2))


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
