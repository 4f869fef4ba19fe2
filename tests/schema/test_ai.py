"""Schema ai: what is alike, what was said, and what is expected to happen.

Distances are compared with those that Python computes. The index finds neighbours by walking a graph: it
may miss some of many, so exactness is asserted where it looks at more vectors than there are near ones.
"""

import hashlib
import math
import os
import random
import re
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal

import psycopg
import pytest
from alembic import command
from psycopg import Connection, Error
from psycopg.errors import (
    CheckViolation,
    DataException,
    ForeignKeyViolation,
    InsufficientPrivilege,
    InvalidParameterValue,
    NoDataFound,
    RestrictViolation,
    UniqueViolation,
)
from sqlalchemy.engine import URL

from homeops_db.settings import Settings
from tests.fixtures.databases import connect, libpq
from tests.fixtures.projects import alembic_config

DIMENSIONS = 384
LATENT = 12
DIGEST = "0" * 64

# Of a few rows, the planner rightly compares each.
AS_PLANNED = "reset all"
BY_THE_INDEX = "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off"

Vector = list[float]

HOUSE = """
insert into core.users (id, email, password_hash, full_name, role) values
    ('00000000-0000-4000-8000-000000000001', 'ada@example.org', 'h', 'Ada', 'user'),
    ('00000000-0000-4000-8000-000000000002', 'bo@example.org', 'h', 'Bo', 'user');
insert into financial.categories (id, name) values ('00000000-0000-4000-8000-000000000006', 'Food');
insert into smart_home.devices (id, name, type) values ('00000000-0000-4000-8000-00000000000a', 'Boiler', 'sensor');
insert into media.libraries (id, name, type) values ('00000000-0000-4000-8000-00000000000b', 'Shelf', 'mixed');
insert into media.items (id, library_id, title, type) values
    ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-00000000000b', 'Dune', 'movie');
insert into ai.embedding_models (name, dimensions, distance, is_default) values
    ('home', 384, 'cosine', true), ('other', 384, 'l2', false), ('wide', 768, 'cosine', false);
insert into ai.conversations (id, user_id, model) values
    ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-000000000001', 'gpt-4'),
    ('00000000-0000-4000-8000-0000000000c2', '00000000-0000-4000-8000-000000000002', 'gpt-4');
insert into ai.messages (id, conversation_id, position, role, content, tokens) values
    ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000c1', 1, 'user', 'Hello', 2),
    ('00000000-0000-4000-8000-0000000000a2', '00000000-0000-4000-8000-0000000000c2', 1, 'user', 'Hi', 1);
insert into ai.prediction_models (id, kind, version, algorithm, trained_at, is_active) values
    ('00000000-0000-4000-8000-0000000000f1', 'energy', '1', 'average', '2026-01-01', true),
    ('00000000-0000-4000-8000-0000000000f2', 'energy', '2', 'average', '2026-01-02', false);
"""

ADA = "00000000-0000-4000-8000-000000000001"
BO = "00000000-0000-4000-8000-000000000002"
DEVICE = "00000000-0000-4000-8000-00000000000a"
LIBRARY = "00000000-0000-4000-8000-00000000000b"
ITEM = "00000000-0000-4000-8000-00000000000d"
ADAS = "00000000-0000-4000-8000-0000000000c1"
BOS = "00000000-0000-4000-8000-0000000000c2"
HELLO = "00000000-0000-4000-8000-0000000000a1"
HI = "00000000-0000-4000-8000-0000000000a2"
ENERGY = "00000000-0000-4000-8000-0000000000f1"
ENERGY_2 = "00000000-0000-4000-8000-0000000000f2"


@pytest.fixture
def database(database_url: URL) -> Iterator[Connection]:
    with connect(database_url) as connection:
        connection.execute(HOUSE)
        yield connection


def vectors(number: int, seed: int = 7) -> list[Vector]:
    """Make vectors as texts have them: of many dimensions, but of few that matter."""
    chance = random.Random(seed)  # noqa: S311 - the same in every run
    basis = [[chance.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(LATENT)]
    made = []
    for _ in range(number):
        weights = [chance.gauss(0, 1) for _ in range(LATENT)]
        made.append(
            [sum(w * axis[d] for w, axis in zip(weights, basis, strict=True)) for d in range(DIMENSIONS)]
        )
    return made


def written(vector: Sequence[float]) -> str:
    return f"[{','.join(f'{x:.6g}' for x in vector)}]"


def unit(*first: float) -> str:
    return written([*first, *[0.0] * (DIMENSIONS - len(first))])


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def number_of(n: int) -> str:
    return str(uuid.UUID(int=n))


def add_items(database: Connection, embedded: Sequence[Vector], model: str = "home") -> list[str]:
    keys = [number_of(n) for n in range(1, len(embedded) + 1)]
    with database.cursor() as cursor:
        cursor.executemany(
            "insert into media.items (id, library_id, title, type) values (%s, %s, 'T', 'book') on conflict do nothing",
            [(key, LIBRARY) for key in keys],
        )
        with cursor.copy(
            "copy ai.item_embeddings (item_id, model, content_digest, embedding) from stdin"
        ) as copy:
            for key, vector in zip(keys, embedded, strict=True):
                copy.write_row((key, model, DIGEST, written(vector)))
    return keys


def nearest(key: str, keys: Sequence[str], embedded: Sequence[Vector], wanted: int) -> list[str]:
    this = embedded[keys.index(key)]
    others = [(round(distance(this, v), 9), k) for k, v in zip(keys, embedded, strict=True) if k != key]
    return [k for _, k in sorted(others)[:wanted]]


def similar(database: Connection, key: str, wanted: int) -> list[str]:
    rows = database.execute("select item_id from ai.similar_items(%s, %s)", (key, wanted)).fetchall()
    return [str(found) for (found,) in rows]


EMBEDDING = f"insert into ai.item_embeddings (item_id, model, content_digest, embedding) values ('{ITEM}', %s, %s, %s)"
SAID = "insert into ai.messages (conversation_id, position, role, content, tokens, %s) values ('%s', %s)"
MODEL = "insert into ai.prediction_models (kind, version, algorithm, trained_at, %s) values (%s)"
PREDICTION = "insert into ai.predictions (model_id, unit, target_at, %s) values ('%s', 'kWh', now() + interval '1 day', %s)"
ABOUT_DEVICE = "kind, device_id, lower, value, upper"


def predicted(*bounds: str) -> str:
    return PREDICTION % (ABOUT_DEVICE, ENERGY, f"'energy', '{DEVICE}', {', '.join(bounds)}")


REFUSED: list[tuple[type[Error], str, str]] = [
    (UniqueViolation, "pk_embedding_models", "insert into ai.embedding_models (name, dimensions) values ('home', 384)"),
    (UniqueViolation, "uq_embedding_models_is_default", "update ai.embedding_models set distance = 'cosine', is_default = true where name = 'other'"),
    (CheckViolation, "ck_embedding_models_dimensions", "insert into ai.embedding_models (name, dimensions) values ('huge', 2001)"),
    (CheckViolation, "ck_embedding_models_distance", "insert into ai.embedding_models (name, dimensions, distance) values ('odd', 384, 'miles')"),
    (CheckViolation, "ck_embedding_models_is_default", "update ai.embedding_models set is_default = true where name = 'wide'"),
    (CheckViolation, "ck_embedding_models_is_default", "update ai.embedding_models set is_default = true where name = 'other'"),
    (ForeignKeyViolation, "fk_item_embeddings_model_dimensions", EMBEDDING % ("'wide'", f"'{DIGEST}'", f"'{unit(1)}'")),
    (ForeignKeyViolation, "fk_item_embeddings_model_dimensions", EMBEDDING % ("'nobody'", f"'{DIGEST}'", f"'{unit(1)}'")),
    (CheckViolation, "ck_item_embeddings_embedding", EMBEDDING % ("'home'", f"'{DIGEST}'", f"'{unit(0)}'")),
    (CheckViolation, "ck_item_embeddings_content_digest", EMBEDDING % ("'home'", "'abc'", f"'{unit(1)}'")),
    (DataException, "", EMBEDDING % ("'wide'", f"'{DIGEST}'", "'[1,2,3]'")),
    (CheckViolation, "ck_message_embeddings_embedding", f"insert into ai.message_embeddings values ('{HELLO}', 'home', '{DIGEST}', now(), '{unit(0)}')"),
    (CheckViolation, "ck_message_embeddings_content_digest", f"insert into ai.message_embeddings values ('{HELLO}', 'home', '', now(), '{unit(1)}')"),
    (ForeignKeyViolation, "fk_message_embeddings_model_dimensions", f"insert into ai.message_embeddings values ('{HELLO}', 'wide', '{DIGEST}', now(), '{unit(1)}')"),
    (UniqueViolation, "uq_messages_conversation_id_position", SAID % ("created_at", ADAS, "1, 'user', 'x', 1, now()")),
    (ForeignKeyViolation, "fk_messages_conversation_id_reply_to_id", SAID % ("reply_to_id", ADAS, f"2, 'assistant', 'x', 1, '{HI}'")),
    (CheckViolation, "ck_messages_role", SAID % ("created_at", ADAS, "2, 'robot', 'x', 1, now()")),
    (CheckViolation, "ck_messages_position", SAID % ("created_at", ADAS, "-1, 'user', 'x', 1, now()")),
    (CheckViolation, "ck_messages_tokens", SAID % ("created_at", ADAS, "2, 'user', 'x', -1, now()")),
    (CheckViolation, "ck_messages_prompt_tokens", SAID % ("prompt_tokens", ADAS, "2, 'user', 'x', 1, 5")),
    (CheckViolation, "ck_messages_prompt_tokens", SAID % ("prompt_tokens", ADAS, "2, 'assistant', 'x', 1, -5")),
    (CheckViolation, "ck_messages_tool_calls", SAID % ("tool_calls", ADAS, "2, 'user', 'x', 1, '[]'")),
    (CheckViolation, "ck_messages_tool_calls", SAID % ("tool_calls", ADAS, "2, 'assistant', 'x', 1, '{}'")),
    (CheckViolation, "ck_messages_reply_to_id", SAID % ("created_at", ADAS, "2, 'tool', 'x', 1, now()")),
    (CheckViolation, "ck_messages_reply_to_itself", f"update ai.messages set reply_to_id = id where id = '{HELLO}'"),
    (UniqueViolation, "uq_prediction_models_kind_version", MODEL % ("is_active", "'energy', '1', 'x', now(), false")),
    (UniqueViolation, "uq_prediction_models_kind_active", MODEL % ("is_active", "'energy', '3', 'x', now(), true")),
    (CheckViolation, "ck_prediction_models_kind", MODEL % ("is_active", "'weather', '1', 'x', now(), false")),
    (CheckViolation, "ck_prediction_models_interval_level", MODEL % ("interval_level", "'climate', '1', 'x', now(), 1")),
    (CheckViolation, "ck_prediction_models_interval_level", MODEL % ("interval_level", "'climate', '1', 'x', now(), 0")),
    (CheckViolation, "ck_prediction_models_is_active", MODEL % ("is_active", "'climate', '1', 'x', null, true")),
    (CheckViolation, "ck_predictions_value", predicted("2", "1", "3")),
    (CheckViolation, "ck_predictions_value", predicted("1", "4", "3")),
    (CheckViolation, "ck_predictions_value", predicted("1", "2", "'NaN'")),
    (CheckViolation, "ck_predictions_target_at", predicted("1", "2", "3").replace("'1 day'", "'-1 day'")),
    (CheckViolation, "ck_predictions_subject", PREDICTION % ("kind, lower, value, upper", ENERGY, "'energy', 1, 2, 3")),
    (CheckViolation, "ck_predictions_subject", PREDICTION % ("kind, device_id, user_id, lower, value, upper", ENERGY, f"'energy', '{DEVICE}', '{ADA}', 1, 2, 3")),
    (CheckViolation, "ck_predictions_subject", PREDICTION % ("kind, device_id, lower, value, upper", ENERGY, f"'spending', '{DEVICE}', 1, 2, 3")),
    (ForeignKeyViolation, "fk_predictions_model_id_kind", PREDICTION % ("kind, user_id, lower, value, upper", ENERGY, f"'spending', '{ADA}', 1, 2, 3")),
    (UniqueViolation, "uq_predictions_model_id_kind_subject_target_at_made_at", f"do $$ begin {predicted('1', '2', '3')}; {predicted('1', '1', '1')}; end $$"),
]  # fmt: skip


def test_what_the_constraints_refuse(database: Connection) -> None:
    for error, constraint, statement in REFUSED:
        with pytest.raises(error) as refusal:
            database.execute(statement)
        assert (refusal.value.diag.constraint_name or "") == constraint, statement


OUTCOME = "insert into ai.prediction_outcomes (prediction_id, actual) values (%s, %s)"


def predict(database: Connection, lower: float, value: float, upper: float, actual: float | None) -> str:
    (key,) = database.execute(
        "insert into ai.predictions (model_id, kind, device_id, made_at, target_at, unit, lower, value, upper)"
        " select %s, 'energy', %s, '2026-01-01', timestamptz '2026-01-02' + count(*) * interval '1 hour', 'kWh', %s, %s, %s"
        " from ai.predictions returning id",
        (ENERGY, DEVICE, lower, value, upper),
    ).fetchone()
    if actual is not None:
        database.execute(OUTCOME, (key, actual))
    return str(key)


def test_an_outcome_is_one_number_and_an_anomaly_is_dismissed_after_it_was_noted(
    database: Connection,
) -> None:
    key = predict(database, 1, 2, 3, 9)
    with pytest.raises(UniqueViolation, match="pk_prediction_outcomes"):
        database.execute(OUTCOME, (key, 1))
    with pytest.raises(CheckViolation, match="ck_prediction_outcomes_actual"):
        database.execute("update ai.prediction_outcomes set actual = 'NaN'")
    database.execute("select ai.note_anomalies()")
    for change, constraint in (
        ("severity = 'odd'", "ck_anomalies_severity"),
        (f"dismissed_by = '{ADA}'", "ck_anomalies_dismissed_by"),
        ("dismissed_at = noted_at - interval '1 s'", "ck_anomalies_dismissed_at"),
    ):
        with pytest.raises(CheckViolation, match=constraint):
            database.execute(f"update ai.anomalies set {change}")
    database.execute(f"update ai.anomalies set dismissed_by = '{ADA}', dismissed_at = now()")


def test_a_model_stays_as_long_as_vectors_are_of_it_and_a_vector_goes_with_its_item(
    database: Connection,
) -> None:
    add_items(database, vectors(2))
    with pytest.raises((ForeignKeyViolation, RestrictViolation)):
        database.execute("delete from ai.embedding_models where name = 'home'")
    with pytest.raises(ForeignKeyViolation):
        database.execute(
            "update ai.embedding_models set dimensions = 768, is_default = false where name = 'home'"
        )
    assert database.execute("select distinct dimensions from ai.item_embeddings").fetchall() == [(384,)]
    database.execute("delete from media.items")
    assert database.execute("select count(*) from ai.item_embeddings").fetchone() == (0,)
    database.execute("delete from ai.embedding_models where name = 'home'")


def test_similar_items_are_those_of_the_least_distance(database: Connection) -> None:
    embedded = vectors(150)
    keys = add_items(database, embedded)
    add_items(database, vectors(150, seed=8), model="other")
    for choice in (AS_PLANNED, BY_THE_INDEX):
        database.execute(choice)
        for key in keys[::40]:
            assert similar(database, key, 10) == nearest(key, keys, embedded, 10)
    found = database.execute(
        "select item_id, title, type, distance from ai.similar_items(%s, 3)", (keys[0],)
    ).fetchall()
    for key, title, kind, far in found:
        assert (title, kind) == ("T", "book")
        assert far == pytest.approx(distance(embedded[0], embedded[keys.index(str(key))]), abs=1e-5)


def test_equally_near_items_come_in_the_order_of_their_keys(database: Connection) -> None:
    alike = [[1.0, 0.5] + [0.0] * 382] * 60
    keys = add_items(database, [[1.0] + [0.0] * 383, *alike])
    for choice in (AS_PLANNED, BY_THE_INDEX):
        database.execute(choice)
        assert similar(database, keys[0], 10) == keys[1:11]


def test_as_many_as_wanted_are_found_whatever_else_the_index_holds(database: Connection) -> None:
    """Without its settings, the index would stop at 40, and count those of the other model."""
    embedded = vectors(90)
    keys = add_items(database, embedded)
    nearer = [[x + n / 1000, *embedded[0][1:]] for n, x in enumerate(embedded[0][:1] * 90)]
    add_items(database, nearer, model="other")
    database.execute(BY_THE_INDEX)
    assert similar(database, keys[0], 80) == nearest(keys[0], keys, embedded, 80)
    assert scans(database, "ix_item_embeddings_embedding") == 1


@pytest.mark.parametrize("wanted", ["0", "501", "null"])
def test_nonsense_is_refused(database: Connection, wanted: str) -> None:
    with pytest.raises(InvalidParameterValue):
        database.execute(f"select ai.similar_items('{ITEM}', {wanted})")
    with pytest.raises(InvalidParameterValue):
        database.execute(f"select ai.search_messages('{ADA}', '{{1}}', {wanted})")


def test_an_item_without_a_vector_has_no_similar_items(database: Connection) -> None:
    add_items(database, vectors(3))
    assert similar(database, ITEM, 5) == []
    assert similar(database, number_of(999), 5) == []


def test_searching_leaves_the_settings_as_they_were(database_url: URL) -> None:
    with connect(database_url) as database:
        database.execute(HOUSE)
        keys = add_items(database, vectors(3))
    settings = "select current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan')"
    with connect(database_url) as fresh, fresh.transaction():
        assert len(similar(fresh, keys[0], 5)) == 2
        assert fresh.execute(settings).fetchone() == ("40", "off")
        fresh.execute("set hnsw.ef_search = 200; set local hnsw.iterative_scan = relaxed_order")
        assert len(similar(fresh, keys[0], 5)) == 2
        search(fresh, ADA, vectors(1)[0], 5)
        assert fresh.execute(settings).fetchone() == ("200", "relaxed_order")
    with connect(database_url) as fresh:
        similar(fresh, keys[0], 5)
        assert fresh.execute(settings).fetchone() == ("40", "off")


def scans(database: Connection, index: str) -> int:
    database.execute("select pg_stat_force_next_flush()")
    (found,) = database.execute(
        "select idx_scan from pg_stat_user_indexes where indexrelname = %s", (index,)
    ).fetchone()
    return found


def explained(database: Connection, function: str, *arguments: object) -> str:
    """Explain the query that a function runs, as it stands in the function."""
    (body,) = database.execute(
        "select prosrc from pg_proc where pronamespace = 'ai'::regnamespace and proname = %s", (function,)
    ).fetchone()
    (query,) = re.findall(r"RETURN QUERY EXECUTE format\(\s*'(.*?)',\s*home", body, re.DOTALL)
    query = query.replace("%1$I", "public")
    for place, value in enumerate(arguments, 1):
        query = query.replace(f"${place}", str(value))
    return "\n".join(line for (line,) in database.execute("explain " + query).fetchall())


def test_the_index_serves_similar_items_among_thousands(database: Connection) -> None:
    """Of a thousand it has to be told to; of ten thousand, the planner takes the index by itself."""
    few = vectors(40)
    chance = random.Random(1)  # noqa: S311
    embedded = [[x + chance.gauss(0, 0.2) for x in chance.choice(few)] for _ in range(1000)]
    keys = add_items(database, embedded)
    database.execute("analyze ai.item_embeddings; analyze media.items")
    database.execute(BY_THE_INDEX + "; set hnsw.ef_search = 100")
    plan = explained(database, "similar_items", f"'{keys[0]}'::uuid", "'home'", 10)
    assert "Index Scan using ix_item_embeddings_embedding on item_embeddings e" in plan, plan
    hits = sum(
        len(set(similar(database, key, 10)) & set(nearest(key, keys, embedded, 10))) for key in keys[::200]
    )
    assert hits >= 45  # of 50
    assert scans(database, "ix_item_embeddings_embedding") == 5


def test_an_item_is_embedded_again_only_when_its_content_changes(database: Connection) -> None:
    due = "select content, content_digest from ai.items_to_embed where item_id = %s and model = 'home'"
    content, digest = database.execute(due, (ITEM,)).fetchone()
    assert content == "Dune\nmovie"
    assert digest == hashlib.sha256(content.encode()).hexdigest()
    database.execute(EMBEDDING % ("'home'", f"'{digest}'", f"'{unit(1)}'"))
    assert database.execute(due, (ITEM,)).fetchall() == []
    database.execute("update media.items set rating = 9")
    assert database.execute(due, (ITEM,)).fetchall() == []
    database.execute('update media.items set details = \'{"description": "Sand."}\'')
    database.execute("insert into media.genres (name) values ('Science'), ('Drama')")
    database.execute("insert into media.item_genres select %s, id from media.genres", (ITEM,))
    (content, digest), *_ = database.execute(due, (ITEM,)).fetchall()
    assert content == "Dune\nmovie\nDrama, Science\nSand."
    database.execute("update ai.item_embeddings set content_digest = %s", (digest,))
    assert database.execute("select * from ai.items_to_embed").fetchall() == []
    database.execute("update ai.embedding_models set is_default = false")
    database.execute(
        "update ai.embedding_models set is_default = true, distance = 'cosine' where name = 'other'"
    )
    assert database.execute("select item_id::text, model from ai.items_to_embed").fetchall() == [
        (ITEM, "other")
    ]


def test_messages_are_embedded_when_people_or_the_assistant_said_something(database: Connection) -> None:
    say(database, ADAS, [("system", 1), ("assistant", 1)], first=2)
    database.execute("update ai.messages set content = '' where role = 'assistant'")
    due = "select content, content_digest from ai.messages_to_embed order by content"
    (hello, digest), (hi, _) = database.execute(due).fetchall()
    assert (hello, hi) == ("Hello", "Hi")
    database.execute(
        "insert into ai.message_embeddings values (%s, 'home', %s, now(), %s)", (HELLO, digest, unit(1))
    )
    assert [text for text, _ in database.execute(due).fetchall()] == ["Hi"]


def say(database: Connection, conversation: str, said: Sequence[tuple[str, int]], *, first: int) -> list[str]:
    """Add messages, by role and tokens; a tool answers the message before it."""
    keys: list[str] = []
    for place, (role, tokens) in enumerate(said, first):
        (key,) = database.execute(
            "insert into ai.messages (conversation_id, position, role, content, tokens, reply_to_id)"
            " values (%s, %s, %s, %s, %s, %s) returning id",
            (conversation, place, role, f"{role} {place}", tokens, keys[-1] if role == "tool" else None),
        ).fetchone()
        keys.append(str(key))
    return keys


def search(database: Connection, user: str, query: Vector, wanted: int) -> list[str]:
    rows = database.execute(
        "select message_id from ai.search_messages(%s, %s::real[], %s)", (user, query, wanted)
    ).fetchall()
    return [str(found) for (found,) in rows]


@pytest.mark.parametrize("more", [0, 2000], ids=["one by one", "by the index"])
def test_a_search_sees_only_the_users_own_messages(database: Connection, more: int) -> None:
    database.execute(
        "insert into ai.messages (conversation_id, position, role, content, tokens)"
        " select %s, 100 + n, 'user', 'x', 1 from generate_series(1, %s) n",
        (ADAS, more),
    )
    adas = [HELLO, *say(database, ADAS, [("user", 1), ("assistant", 1)] * 15, first=2)]
    bos = [HI, *say(database, BOS, [("user", 1)] * 59, first=2)]
    embedded = vectors(len(adas))
    query = vectors(1, seed=9)[0]
    for key, vector in [*zip(adas, embedded, strict=True), *((key, query) for key in bos)]:
        database.execute(
            "insert into ai.message_embeddings values (%s, 'home', %s, now(), %s)",
            (key, DIGEST, written(vector)),
        )
    database.execute(BY_THE_INDEX)
    near = [key for _, key in sorted(zip((distance(query, v) for v in embedded), adas, strict=True))]
    assert search(database, ADA, query, 10) == near[:10]
    assert search(database, ADA, query, 500) == near
    assert scans(database, "ix_message_embeddings_embedding") == (2 if more else 0)
    assert search(database, BO, query, 5) == sorted(bos)[:5]
    (row,) = database.execute("select * from ai.search_messages(%s, %s::real[], 1)", (ADA, query)).fetchall()
    stored = database.execute(
        "select id, conversation_id, role, content, created_at from ai.messages where id = %s", (near[0],)
    )
    assert row[:5] == stored.fetchone()
    assert row[5] == pytest.approx(min(distance(query, v) for v in embedded), abs=1e-5)


def test_a_search_needs_a_direction_of_the_models_dimensions(database: Connection) -> None:
    database.execute(
        "insert into ai.message_embeddings values (%s, 'home', %s, now(), %s)", (HELLO, DIGEST, unit(1))
    )
    for query in ([0.0] * 384, []):
        with pytest.raises(InvalidParameterValue, match="no direction"):
            search(database, ADA, query, 1)
    with pytest.raises(DataException, match="different vector dimensions"):
        search(database, ADA, [1.0, 2.0], 1)


def test_a_reply_goes_with_what_it_answers_and_all_go_with_the_conversation(database: Connection) -> None:
    first, *_ = say(database, ADAS, [("assistant", 1), ("tool", 1), ("tool", 1)], first=2)
    database.execute(
        "insert into ai.message_embeddings values (%s, 'home', %s, now(), %s)", (first, DIGEST, unit(1))
    )
    database.execute("update ai.messages set reply_to_id = %s where id = %s", (HELLO, first))
    with database.transaction(force_rollback=True):
        database.execute("delete from ai.messages where id = %s", (first,))
        assert database.execute("select id::text from ai.messages order by position, id").fetchall() == [
            (HELLO,),
            (HI,),
        ]
        assert database.execute("select count(*) from ai.message_embeddings").fetchone() == (0,)
    database.execute("delete from core.users where id = %s", (ADA,))
    assert database.execute("select id::text from ai.messages").fetchall() == [(HI,)]


def context(said: Sequence[tuple[str, int]], budget: int) -> list[int]:
    """Choose messages as ai.conversation_context shall, by their places."""
    order = sorted(range(len(said)), key=lambda n: (said[n][0] != "system", -n))
    kept: set[int] = set()
    for place in order:
        if sum(said[n][1] for n in kept) + said[place][1] > budget:
            break
        kept.add(place)
    return [n for n in sorted(kept) if said[n][0] != "tool" or n - 1 in kept]


def test_the_context_is_the_newest_messages_within_the_budget(database: Connection) -> None:
    chance = random.Random(3)  # noqa: S311
    database.execute("delete from ai.messages")
    for _ in range(8):
        said = [("system", chance.randint(0, 20))]
        while len(said) < 12:
            said += chance.choice(
                [[("user", 9)], [("assistant", chance.randint(0, 30)), ("tool", chance.randint(0, 30))]]
            )
        say(database, ADAS, said, first=0)
        for budget in (-1, 0, 10, 35, 60, 100, 10_000):
            found = database.execute(
                "select position, role, content, tokens from ai.conversation_context(%s, %s)", (ADAS, budget)
            ).fetchall()
            assert found == [(n, said[n][0], f"{said[n][0]} {n}", said[n][1]) for n in context(said, budget)]
        database.execute("delete from ai.messages")


def test_the_accuracy_of_a_model_is_that_of_its_outcomes(database: Connection) -> None:
    """Errors 2, -1, 0 and 3 of 10, 4, 0 and 15: MAE 6/4, MAPE (20 + 25 + 20)/3 %, three of four within."""
    predict(database, 7, 8, 9, 10)
    predict(database, 4, 5, 6, 4)
    predict(database, -1, 0, 1, 0)
    predict(database, 10, 12, 15, 15)
    predict(database, 0, 1, 2, None)
    rows = database.execute(
        "select version, is_active, outcomes, bias, mae, mape, coverage, interval_level from ai.prediction_accuracy order by version"
    ).fetchall()
    first, second = rows
    assert first[:3] == ("1", True, 4)
    assert first[3:] == (
        Decimal(1),
        Decimal("1.5"),
        pytest.approx(Decimal(65) / 3),
        Decimal("0.75"),
        Decimal("0.900"),
    )
    assert second == ("2", False, 0, None, None, None, None, Decimal("0.900"))
    errors = database.execute(
        "select predicted, actual, error, absolute_error, absolute_error_percent, is_within from ai.prediction_errors order by target_at"
    ).fetchall()
    assert errors == [
        (8, 10, 2, 2, 20, False),
        (5, 4, -1, 1, 25, True),
        (0, 0, 0, 0, None, True),
        (12, 15, 3, 3, 20, True),
    ]


def test_outcomes_outside_the_interval_are_noted_once(database: Connection) -> None:
    for actual in (10, 14, 14.5, 16, 16.5, 9.9, 5):
        predict(database, 10, 12, 14, actual)
    predict(database, 3, 3, 3, 4)
    assert database.execute("select ai.note_anomalies()").fetchone() == (6,)
    assert database.execute("select ai.note_anomalies()").fetchone() == (0,)
    assert database.execute(
        "select o.actual::float, a.severity from ai.anomalies a join ai.prediction_outcomes o using (prediction_id) order by 1"
    ).fetchall() == [
        (4, "critical"),
        (5, "critical"),
        (9.9, "info"),
        (14.5, "info"),
        (16, "info"),
        (16.5, "warning"),
    ]
    database.execute("delete from ai.prediction_outcomes where actual < 9")
    assert database.execute("select count(*) from ai.anomalies").fetchone() == (4,)


def test_a_model_is_activated_in_place_of_the_one_of_its_kind(database: Connection) -> None:
    active = "select id::text from ai.prediction_models where is_active"
    for model in (ENERGY_2, ENERGY_2, ENERGY):
        database.execute("select ai.activate_prediction_model(%s)", (model,))
        assert database.execute(active).fetchall() == [(model,)]
    with pytest.raises(NoDataFound):
        database.execute("select ai.activate_prediction_model(%s)", (ADA,))


def test_nothing_of_schema_ai_is_granted_to_public(database: Connection) -> None:
    granted = """
        select name from (
            select nspname name, coalesce(nspacl, acldefault('n', nspowner)) acl from pg_namespace where nspname = 'ai'
            union all
            select relname, coalesce(relacl, acldefault('r', relowner)) from pg_class where relnamespace = 'ai'::regnamespace
            union all
            select proname, coalesce(proacl, acldefault('f', proowner)) from pg_proc where pronamespace = 'ai'::regnamespace
        ) everything, aclexplode(acl) where grantee = 0
    """
    functions = "select distinct prosecdef, proconfig from pg_proc where pronamespace = 'ai'::regnamespace"
    assert database.execute(granted).fetchall() == []
    assert database.execute(functions).fetchall() == [(False, ["search_path=pg_catalog, pg_temp"])]


def use_as_member(url: URL, group: str, home: str) -> None:
    name = f"tests_{group}_{os.getpid()}"
    with connect(url) as admin:
        admin.execute(f"create role {name} login in role {group}")
        try:
            with psycopg.connect(libpq(url.set(username=name)), autocommit=True) as member:
                if group == "homeops_app":
                    member.execute(
                        f"update ai.item_embeddings set embedding = embedding::text::{home}.vector"
                    )
                    member.execute(f"delete from ai.conversations where id = '{BOS}'")
                else:
                    with pytest.raises(InsufficientPrivilege):
                        member.execute("update ai.item_embeddings set embedded_at = now()")
                assert len(similar(member, number_of(1), 2)) == 2
                assert search(member, ADA, vectors(1)[0], 2) == [HELLO]
                member.execute("select * from ai.prediction_accuracy, ai.conversation_context(null, 1)")
        finally:
            admin.execute(f"drop role {name}")


def test_both_groups_search_and_the_application_writes(database: Connection, database_url: URL) -> None:
    add_items(database, vectors(3))
    database.execute(
        "insert into ai.message_embeddings values (%s, 'home', %s, now(), %s)", (HELLO, DIGEST, unit(1))
    )
    for group in ("homeops_app", "homeops_readonly"):
        use_as_member(database_url, group, "public")


def test_the_extension_may_live_in_another_schema(settings: Settings, database_url: URL) -> None:
    config = alembic_config(settings)
    command.downgrade(config, "v2.2.0")
    with connect(database_url) as database:
        assert database.execute("select 1 from pg_namespace where nspname = 'ai'").fetchall() == []
        database.execute("create schema extensions; alter extension vector set schema extensions")
    command.upgrade(config, "v3.0.0")
    with connect(database_url) as database:
        database.execute(HOUSE)
        embedded = vectors(60)
        keys = add_items(database, embedded)
        database.execute(
            "insert into ai.message_embeddings values (%s, 'home', %s, now(), %s)", (HELLO, DIGEST, unit(1))
        )
        assert similar(database, keys[5], 10) == nearest(keys[5], keys, embedded, 10)
        (home,) = database.execute(
            "select typnamespace::regnamespace::text from pg_type join pg_attribute on atttypid = pg_type.oid"
            " where attrelid = 'ai.item_embeddings'::regclass and attname = 'embedding'"
        ).fetchone()
        assert home == "extensions"
    for group in ("homeops_app", "homeops_readonly"):
        use_as_member(database_url, group, "extensions")
    command.downgrade(config, "v2.2.0")
