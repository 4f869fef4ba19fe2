"""What the schema media of v1.2.0 refuses, and what goes with what."""

import datetime as dt
import re
from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection
from psycopg.errors import (
    CheckViolation,
    Error,
    ForeignKeyViolation,
    GeneratedAlways,
    IntegrityError,
    NotNullViolation,
    NumericValueOutOfRange,
    UniqueViolation,
)
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.schema.media import (
    DEVICE,
    GENRES,
    ITEMS,
    MODELS,
    MOODS,
    SESSIONS,
    TRACKS,
    USERS,
    filled,
    rolled_back,
    uid,
)


@pytest.fixture(scope="module")
def url(migrated_server: NoopExecutor) -> Iterator[URL]:
    with filled(migrated_server) as made:
        yield made


@pytest.fixture
def database(url: URL) -> Iterator[Connection]:
    with rolled_back(url) as connection:
        yield connection


def refused(database: Connection, statement: str, error: type[Error], constraint: str | None) -> None:
    with pytest.raises(error) as caught, database.transaction():
        database.execute(statement.encode())
    name = caught.value.diag.constraint_name
    # A chunk's foreign keys and keys have its numbers before their names.
    assert (name and re.sub(r"^\d+_\d+_", "", name)) == constraint, statement


MODEL = "insert into media.recommendation_models (name, version, algorithm, is_active, trained_at) values "
RECOMMENDATION = (
    "insert into media.recommendations (user_id, item_id, model_id, score, rank, created_at, shown_at, clicked_at,"
    f" dismissed_at) values ('{USERS[0]}', '{ITEMS[0]}', '{MODELS[0]}', "
)
SIMILARITY = "insert into media.item_similarities (first_item_id, second_item_id, score) values "
RATING = f"insert into media.ratings (user_id, item_id, rating) values ('{USERS[0]}', "
EVENT = "insert into media.viewing_events (session_id, occurred_at, type, position_seconds, watched_seconds) values "
DAY = f"insert into media.viewing_daily values ('{USERS[0]}', '{ITEMS[0]}', '2024-01-01', "
MOOD = "insert into media.moods (name, energy, valence) values "
ANALYSIS = "insert into media.track_analysis (item_id, analyzer, "
WEIGHT = f"insert into media.track_moods (item_id, mood_id, weight) values ('{TRACKS[0]}', "
GENRE = f"insert into media.genre_scores (item_id, genre_id, analyzer, confidence) values ('{ITEMS[0]}', "
SPAN = "'2024-01-02', '2024-01-03'"

Refusal = tuple[str, type[Error], str | None]


def shares(column: str, table: str, statement: Callable[[str], str]) -> list[Refusal]:
    """What a column from 0 to 1 refuses."""
    name = f"ck_{table}_{column}"
    return [
        (statement("-0.0001"), CheckViolation, name),
        (statement("1.0001"), CheckViolation, name),
        (statement("'NaN'"), CheckViolation, name),
        (statement("10"), NumericValueOutOfRange, None),
    ]


REFUSED_RECOMMENDATIONS: list[Refusal] = [
    (MODEL + "('a', 0, 'content', false, null)", CheckViolation, "ck_recommendation_models_version"),
    (MODEL + "('a', 1, 'guess', false, null)", CheckViolation, "ck_recommendation_models_algorithm"),
    (MODEL + "('a', 1, 'content', true, null)", CheckViolation, "ck_recommendation_models_is_active"),
    (
        MODEL + "('model', 1, 'content', false, null)",
        UniqueViolation,
        "uq_recommendation_models_name_version",
    ),
    (
        MODEL + "('model', 9, 'content', true, now())",
        UniqueViolation,
        "uq_recommendation_models_name_active",
    ),
    *shares(
        "score", "recommendations", lambda n: RECOMMENDATION + f"{n}, 1, {SPAN}, '2024-01-04', '2024-01-04')"
    ),
    (RECOMMENDATION + "0, 0, now(), null, null, null)", CheckViolation, "ck_recommendations_rank"),
    (
        RECOMMENDATION + "0, 1, '2024-01-03', '2024-01-02', null, null)",
        CheckViolation,
        "ck_recommendations_shown_at",
    ),
    (RECOMMENDATION + "0, 1, now(), null, now(), null)", CheckViolation, "ck_recommendations_clicked_at"),
    (RECOMMENDATION + "0, 1, now(), null, null, now())", CheckViolation, "ck_recommendations_dismissed_at"),
    (
        RECOMMENDATION + f"0, 1, {SPAN}, '2024-01-02', null)",
        CheckViolation,
        "ck_recommendations_clicked_at",
    ),
    (
        RECOMMENDATION + f"0, 1, {SPAN}, null, '2024-01-02')",
        CheckViolation,
        "ck_recommendations_dismissed_at",
    ),
    *shares("score", "item_similarities", lambda n: SIMILARITY + f"('{ITEMS[0]}', '{ITEMS[1]}', {n})"),
    (
        SIMILARITY + f"('{ITEMS[1]}', '{ITEMS[0]}', 0)",
        CheckViolation,
        "ck_item_similarities_second_item_id",
    ),
    (
        SIMILARITY + f"('{ITEMS[0]}', '{ITEMS[0]}', 0)",
        CheckViolation,
        "ck_item_similarities_second_item_id",
    ),
    (RATING + f"'{ITEMS[0]}', -0.1)", CheckViolation, "ck_ratings_rating"),
    (RATING + f"'{ITEMS[0]}', 10.1)", CheckViolation, "ck_ratings_rating"),
    (RATING + f"'{uid(9)}', 1)", ForeignKeyViolation, "fk_ratings_item_id"),
]

REFUSED_VIEWING: list[Refusal] = [
    (EVENT + f"('{uid(9)}', now(), 'play', 0, 0)", ForeignKeyViolation, "fk_viewing_events_session_id"),
    (EVENT + f"('{SESSIONS[0]}', now(), 'rewind', 0, 0)", CheckViolation, "ck_viewing_events_type"),
    (
        EVENT + f"('{SESSIONS[0]}', now(), 'play', -1, 0)",
        CheckViolation,
        "ck_viewing_events_position_seconds",
    ),
    (
        EVENT + f"('{SESSIONS[0]}', now(), 'play', 0, -1)",
        CheckViolation,
        "ck_viewing_events_watched_seconds",
    ),
    (
        EVENT + f"('{SESSIONS[0]}', now(), 'play', 0, 86401)",
        CheckViolation,
        "ck_viewing_events_watched_seconds",
    ),
    (DAY + "-1, 1, 0)", CheckViolation, "ck_viewing_daily_seconds_watched"),
    (DAY + "0, 0, 0)", CheckViolation, "ck_viewing_daily_sessions"),
    (DAY + "0, 1, 2)", CheckViolation, "ck_viewing_daily_completions"),
    (DAY + "0, 1, -1)", CheckViolation, "ck_viewing_daily_completions"),
]

REFUSED_MUSIC: list[Refusal] = [
    *shares("energy", "moods", lambda n: MOOD + f"('a', {n}, 0)"),
    *shares("valence", "moods", lambda n: MOOD + f"('a', 0, {n})"),
    (MOOD + f"('M{MOODS[0]}', 0, 0)", UniqueViolation, "uq_moods_name"),
    *(
        refusal
        for column in ("energy", "valence", "danceability")
        for refusal in shares(
            column, "track_analysis", lambda n, c=column: ANALYSIS + f"{c}) values ('{TRACKS[0]}', 'x', {n})"
        )
    ),
    (ANALYSIS + f"tempo_bpm) values ('{TRACKS[0]}', 'x', 0)", CheckViolation, "ck_track_analysis_tempo_bpm"),
    (
        ANALYSIS + f"tempo_bpm) values ('{TRACKS[0]}', 'x', 'NaN')",
        CheckViolation,
        "ck_track_analysis_tempo_bpm",
    ),
    (
        ANALYSIS + f"musical_key) values ('{TRACKS[0]}', 'x', 'H')",
        CheckViolation,
        "ck_track_analysis_musical_key",
    ),
    (ANALYSIS + f"mode) values ('{TRACKS[0]}', 'x', 'major')", CheckViolation, "ck_track_analysis_mode"),
    (
        ANALYSIS + f"musical_key, mode) values ('{TRACKS[0]}', 'x', 'A', 'doric')",
        CheckViolation,
        "ck_track_analysis_mode",
    ),
    (
        ANALYSIS + f"energy) values ('{ITEMS[0]}', 'x', 0)",
        ForeignKeyViolation,
        "fk_track_analysis_item_id_item_type",
    ),
    (ANALYSIS + f"item_type) values ('{ITEMS[0]}', 'x', 'movie')", GeneratedAlways, None),
    (WEIGHT + f"'{MOODS[0]}', 0)", CheckViolation, "ck_track_moods_weight"),
    *shares("weight", "track_moods", lambda n: WEIGHT + f"'{MOODS[0]}', {n})"),
    (WEIGHT + f"'{MOODS[0]}', 0.5)", ForeignKeyViolation, "fk_track_moods_item_id"),
    *shares("confidence", "genre_scores", lambda n: GENRE + f"'{GENRES[0]}', 'x', {n})"),
    (
        f"insert into media.genre_scores values ('{ITEMS[0]}', '{GENRES[0]}', 0)",
        NotNullViolation,
        None,
    ),
]


@pytest.mark.parametrize(
    "refusals",
    [
        pytest.param(REFUSED_RECOMMENDATIONS, id="recommendations"),
        pytest.param(REFUSED_VIEWING, id="viewing"),
        pytest.param(REFUSED_MUSIC, id="music"),
    ],
)
def test_what_cannot_be_true_is_refused(database: Connection, refusals: list[Refusal]) -> None:
    for refusal in refusals:
        refused(database, *refusal)


def test_the_ends_of_every_range_are_allowed(database: Connection) -> None:
    for statement in (
        MODEL + "('a', 1, 'content', false, null), ('a', 2, 'hybrid', true, now())",
        RECOMMENDATION + "0, 1, now(), now(), now(), now())",
        SIMILARITY + f"('{ITEMS[0]}', '{ITEMS[1]}', 1), ('{ITEMS[0]}', '{ITEMS[2]}', 0)",
        RATING + f"'{ITEMS[0]}', 0), ('{USERS[1]}', '{ITEMS[0]}', 10)",
        EVENT + f"('{SESSIONS[0]}', now(), 'play', 0, 0), ('{SESSIONS[0]}', now(), 'seek', 0, 86400)",
        DAY + "0, 1, 0)",
        MOOD + "('a', 0, 1), ('b', 1, 0)",
        ANALYSIS + f"energy, valence, musical_key, mode) values ('{TRACKS[0]}', 'x', 0, 1, 'A#', 'minor')",
        WEIGHT + f"'{MOODS[0]}', 1), ('{TRACKS[0]}', '{MOODS[1]}', 0.0001)",
        GENRE + f"'{GENRES[0]}', 'x', 1), ('{ITEMS[0]}', '{GENRES[1]}', 'x', 0)",
    ):
        database.execute(statement.encode())


def test_what_stands_once_is_not_written_twice(database: Connection) -> None:
    for statement, key in (
        (
            RECOMMENDATION + "0, 1, now(), null, null, null)",
            "uq_recommendations_user_id_item_id_model_id",
        ),
        (SIMILARITY + f"('{ITEMS[0]}', '{ITEMS[1]}', 1)", "pk_item_similarities"),
        (RATING + f"'{ITEMS[0]}', 1)", "pk_ratings"),
        (DAY + "0, 1, 0)", "pk_viewing_daily"),
        (ANALYSIS + f"energy) values ('{TRACKS[0]}', 'x', 0)", "pk_track_analysis"),
        (WEIGHT + f"'{MOODS[0]}', 1)", "pk_track_moods"),
        (GENRE + f"'{GENRES[0]}', 'x', 1)", "pk_genre_scores"),
    ):
        database.execute(statement.encode())
        refused(database, statement, UniqueViolation, key)
    repeated = EVENT + f"('{SESSIONS[0]}', '2024-01-01', 'play', 0, 0)"
    database.execute(repeated.encode())
    refused(database, repeated, UniqueViolation, "pk_viewing_events")


def test_another_version_takes_over_in_one_statement_after_the_first_has_left(database: Connection) -> None:
    with database.transaction():
        database.execute("update media.recommendation_models set is_active = false where is_active")
        database.execute("update media.recommendation_models set is_active = true where version = 2")
    assert database.execute("select version from media.recommendation_models where is_active").fetchall() == [
        (2,)
    ]


def test_an_analyzed_item_stays_a_track(database: Connection) -> None:
    database.execute((ANALYSIS + f"energy) values ('{TRACKS[0]}', 'x', 0)").encode())
    change = f"update media.items set type = 'album' where id = '{TRACKS[0]}'"
    refused(database, change, ForeignKeyViolation, "fk_track_analysis_item_id_item_type")
    database.execute(f"delete from media.track_analysis where item_id = '{TRACKS[0]}'".encode())
    database.execute(change.encode())


def count(database: Connection, table: str) -> int:
    (found,) = database.execute(f"select count(*) from media.{table}".encode()).fetchone()
    return found


def test_what_belongs_to_an_item_or_a_user_goes_with_it(database: Connection) -> None:
    for statement in (
        RECOMMENDATION + "0, 1, now(), null, null, null)",
        SIMILARITY + f"('{ITEMS[0]}', '{TRACKS[0]}', 1)",
        RATING + f"'{ITEMS[0]}', 1)",
        EVENT + f"('{SESSIONS[0]}', now(), 'play', 0, 0)",
        DAY + "0, 1, 0)",
        ANALYSIS + f"energy) values ('{TRACKS[0]}', 'x', 0)",
        WEIGHT + f"'{MOODS[0]}', 1)",
        GENRE + f"'{GENRES[0]}', 'x', 1)",
    ):
        database.execute(statement.encode())
    refused(
        database,
        f"delete from media.moods where id = '{MOODS[0]}'",
        IntegrityError,
        "fk_track_moods_mood_id",
    )
    database.execute("update media.viewing_events set device_id = %s", [DEVICE])
    database.execute("delete from smart_home.devices")
    assert database.execute("select device_id from media.viewing_events").fetchall() == [(None,)]
    database.execute("delete from media.items where id = %s", [TRACKS[0]])
    assert [count(database, t) for t in ("item_similarities", "track_analysis", "track_moods")] == [0, 0, 0]
    database.execute("delete from core.users where id = %s", [USERS[0]])
    theirs = ("recommendations", "ratings", "viewing_events", "viewing_daily")
    assert [count(database, table) for table in theirs] == [0, 0, 0, 0]
    database.execute("delete from media.genres where id = %s", [GENRES[0]])
    assert count(database, "genre_scores") == 0


def test_events_are_in_a_hypertable_and_views_read_as_their_caller(database: Connection) -> None:
    assert database.execute(
        "select time_interval from timescaledb_information.dimensions where hypertable_name = 'viewing_events'"
    ).fetchall() == [(dt.timedelta(days=30),)]
    assert database.execute(
        "select relname, reloptions from pg_class where relkind = 'v' and relnamespace = 'media'::regnamespace"
        " and relname in ('viewing_history', 'viewing_statistics') order by 1"
    ).fetchall() == [
        ("viewing_history", ["security_invoker=true"]),
        ("viewing_statistics", ["security_invoker=true"]),
    ]


@pytest.mark.parametrize("role", ["homeops_app", "homeops_readonly"])
def test_both_groups_ask_and_the_application_rolls_up(database: Connection, role: str) -> None:
    database.execute(f"set role {role}".encode())
    for query in (
        "select * from media.similar_items(gen_random_uuid())",
        "select * from media.recommended_for(gen_random_uuid())",
        "select * from media.viewing_history",
    ):
        assert database.execute(query.encode()).fetchall() == []
    assert len(database.execute("select * from media.viewing_statistics").fetchall()) == 3
    if role == "homeops_app":
        rolled_up = "select media.roll_up_viewing('2024-01-01', '2024-01-02')"
        assert database.execute(rolled_up.encode()).fetchone() == (0,)
