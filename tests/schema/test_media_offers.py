"""Similar items and recommendations, against models of them."""

import uuid
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from psycopg import Connection
from pytest_postgresql.executors import NoopExecutor
from sqlalchemy.engine import URL

from tests.schema.media import (
    GENRES,
    ITEMS,
    MODELS,
    MOODS,
    PEOPLE,
    SESSIONS,
    TRACKS,
    USERS,
    chance_of,
    filled,
    insert,
    rolled_back,
)


@pytest.fixture(scope="module")
def url(migrated_server: NoopExecutor) -> Iterator[URL]:
    with filled(migrated_server) as made:
        yield made


@pytest.fixture
def database(url: URL) -> Iterator[Connection]:
    with rolled_back(url) as connection:
        yield connection


def jaccard(mine: dict[uuid.UUID, Fraction], theirs: dict[uuid.UUID, Fraction]) -> Fraction:
    both = mine.keys() | theirs.keys()
    of_either = sum(max(mine.get(k, Fraction(0)), theirs.get(k, Fraction(0))) for k in both)
    of_both = sum(min(mine[k], theirs[k]) for k in mine.keys() & theirs.keys())
    return Fraction(of_both) / of_either if of_either else Fraction(0)


def four_places(value: Fraction) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal("0.0001"), ROUND_HALF_UP)


def test_similar_items_share_genres_moods_people_and_stored_similarity(database: Connection) -> None:
    chance = chance_of(7)
    traits: dict[str, dict[uuid.UUID, dict[uuid.UUID, Fraction]]] = {"genre": {}, "mood": {}, "people": {}}
    for item in ITEMS:
        traits["genre"][item] = dict.fromkeys(chance.sample(GENRES, chance.randrange(4)), Fraction(1))
        traits["people"][item] = dict.fromkeys(chance.sample(PEOPLE, chance.randrange(5)), Fraction(1))
        moods = chance.sample(MOODS, chance.randrange(4)) if item in TRACKS else []
        traits["mood"][item] = {mood: Fraction(chance.randrange(1, 10_001), 10_000) for mood in moods}
    similar = {pair: Fraction(chance.randrange(10_001), 10_000) for pair in
               [(a, b) for a in ITEMS for b in ITEMS if a < b and chance.random() < 0.2]}  # fmt: skip

    def rows(kind: str) -> list[tuple[uuid.UUID, uuid.UUID, Fraction]]:
        return [(item, trait, w) for item, some in traits[kind].items() for trait, w in some.items()]

    insert(database, "item_genres", "item_id, genre_id", [(i, g) for i, g, _ in rows("genre")])
    # Someone who wrote and directed is one person.
    insert(
        database,
        "credits",
        "item_id, person_id, role",
        [
            (i, p, r)
            for n, (i, p, _) in enumerate(rows("people"))
            for r in ("director", "writer")[: 1 + n % 2]
        ],
    )
    insert(database, "track_analysis", "item_id, analyzer", [(track, "x") for track in TRACKS])
    insert(
        database, "track_moods", "item_id, mood_id, weight", [(i, m, float(w)) for i, m, w in rows("mood")]
    )
    insert(
        database,
        "item_similarities",
        "first_item_id, second_item_id, score",
        [(*pair, float(s)) for pair, s in similar.items()],
    )
    weights = {"genre": Fraction(25, 100), "mood": Fraction(20, 100), "people": Fraction(15, 100)}
    for item in ITEMS:
        expected = []
        for other in ITEMS:
            score = Fraction(40, 100) * similar.get((min(item, other), max(item, other)), Fraction(0))
            score += sum(w * jaccard(traits[k][item], traits[k][other]) for k, w in weights.items())
            if other != item and four_places(score) > 0:
                expected.append((other, four_places(score)))
        expected.sort(key=lambda found: (-found[1], found[0]))
        query = "select item_id, score from media.similar_items(%s, %s)"
        assert database.execute(query.encode(), [item, 100]).fetchall() == expected
        assert database.execute(query.encode(), [item, 3]).fetchall() == expected[:3]


def test_recommended_is_the_best_of_the_active_models_that_is_neither_watched_nor_dismissed(
    database: Connection,
) -> None:
    chance = chance_of(8)
    database.execute(
        "update media.recommendation_models set name = 'other', is_active = true where version = 2"
    )
    done = {(USERS[0], ITEMS[0]), (USERS[1], ITEMS[1]), (USERS[2], ITEMS[2])}
    made = [(user, item, model, Decimal(chance.randrange(11)) / 10, chance.randrange(1, 5), chance.random() < 0.1 and (user, item) not in done)
            for user in USERS for item in ITEMS for model in MODELS if chance.random() < 0.7 or (user, item) in done]  # fmt: skip
    insert(
        database,
        "recommendations",
        "user_id, item_id, model_id, score, rank, reason, created_at, shown_at, dismissed_at",
        [(u, i, m, s, r, f"{m} {r}", "2024-01-01", "2024-01-02", "2024-01-03" if d else None)
         for u, i, m, s, r, d in made],
    )  # fmt: skip
    database.execute("update media.playback_sessions set progress_percent = 89.99")
    database.execute("update media.playback_sessions set progress_percent = 90 where id = %s", [SESSIONS[0]])
    insert(
        database,
        "viewing_events",
        "session_id, occurred_at, type, position_seconds",
        [(SESSIONS[7], "2024-01-01", "finish", 1)],
    )
    insert(
        database,
        "viewing_daily",
        "user_id, item_id, viewed_on, seconds_watched, sessions, completions",
        [(USERS[2], ITEMS[2], "2024-01-01", 1, 1, 1), (USERS[2], ITEMS[3], "2024-01-01", 1, 1, 0)],
    )
    out = done | {(u, i) for u, i, *_, dismissed in made if dismissed}
    query = "select item_id, score, reason from media.recommended_for(%s, %s)"
    for user in USERS:
        best: dict[uuid.UUID, tuple[Decimal, int, uuid.UUID]] = {}
        for u, item, model, score, rank, _ in made:
            if u == user and model in MODELS[:2] and (user, item) not in out:
                found = (-score, rank, model)
                best[item] = min(best.get(item, found), found)
        expected = sorted(
            ((item, -score, f"{model} {rank}") for item, (score, rank, model) in best.items()),
            key=lambda row: (-row[1], row[0]),
        )
        assert len(expected) > 3
        assert database.execute(query.encode(), [user, 100]).fetchall() == expected
        assert database.execute(query.encode(), [user, 2]).fetchall() == expected[:2]


@pytest.mark.parametrize(
    ("setting", "is_offered"), [("50", False), ("51", True), ('"often"', True), (None, True)]
)
def test_how_much_counts_as_watched_is_a_setting(
    database: Connection, setting: str | None, is_offered: bool
) -> None:
    offer = (USERS[0], ITEMS[0], MODELS[0], 1, 1)
    insert(database, "recommendations", "user_id, item_id, model_id, score, rank", [offer])
    database.execute("update media.playback_sessions set progress_percent = 50")
    if setting is not None:
        database.execute(
            "insert into core.system_config (key, value, category) values ('media.watched_percent', %s, 'media')",
            [setting],
        )
    query = "select count(*) from media.recommended_for(%s)"
    assert database.execute(query.encode(), [USERS[0]]).fetchone() == (int(is_offered),)
