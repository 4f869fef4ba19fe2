"""The smart home of v1.3.0: energy and its cost by day and room, learning, maintenance."""

import datetime as dt
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import (
    CheckViolation,
    ExclusionViolation,
    ForeignKeyViolation,
    InsufficientPrivilege,
    InvalidParameterValue,
    NotNullViolation,
    UniqueViolation,
)
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy.engine import URL

from tests.fixtures.databases import connect
from tests.fixtures.waiting import until

ZONE = ZoneInfo("Europe/Berlin")
HOUR = dt.timedelta(hours=1)


def key(number: int) -> str:
    return f"00000000-0000-4000-8000-0000aaaa{number:04x}"


KITCHEN, OFFICE = key(1), key(2)
OVEN, FRIDGE, DESK, LOOSE = key(3), key(4), key(5), key(6)
USER, AUTOMATION, RUN = key(7), key(8), key(9)
TARIFF, METER, PATTERN, SUGGESTION = key(10), key(11), key(12), key(13)
PLAN, BOOKING, OTHER_PLAN = key(14), key(15), key(16)

HOUSE = f"""
insert into core.system_config (key, value, category) values ('system.timezone', '"Europe/Berlin"', 'core');
insert into core.users (id, email, password_hash, full_name) values ('{USER}', 'a@b.c', 'h', 'A');
insert into smart_home.rooms (id, name, type) values
    ('{KITCHEN}', 'Kitchen', 'kitchen'), ('{OFFICE}', 'Office', 'office');
insert into smart_home.devices (id, room_id, name, type) values
    ('{OVEN}', '{KITCHEN}', 'Oven', 'appliance'), ('{FRIDGE}', '{KITCHEN}', 'Fridge', 'appliance'),
    ('{DESK}', '{OFFICE}', 'Desk', 'outlet'), ('{LOOSE}', null, 'Loose', 'outlet');
insert into smart_home.automations (id, name) values ('{AUTOMATION}', 'Lights off');
insert into smart_home.automation_runs (id, automation_id) values ('{RUN}', '{AUTOMATION}');
insert into smart_home.energy_tariffs (id, name, currency) values ('{TARIFF}', 'Day and night', 'EUR');
insert into smart_home.energy_tariff_periods (tariff_id, valid, minutes, price_per_kwh) values
    ('{TARIFF}', '[2026-01-01,2027-01-01)', '[360,1320)', 0.40),
    ('{TARIFF}', '[2026-01-01,2027-01-01)', '[0,360)', 0.20),
    ('{TARIFF}', '[2026-01-01,2027-01-01)', '[1320,1440)', 0.20),
    ('{TARIFF}', '[2027-01-01,2030-01-01)', '[0,1440)', 9.99);
insert into smart_home.energy_meters (id, name, scope, device_id, tariff_id) values
    ('{METER}', 'Oven', 'device', '{OVEN}', '{TARIFF}');
insert into smart_home.usage_patterns (id, device_id, weekday, minutes, probability, observations) values
    ('{PATTERN}', '{OVEN}', 1, '[1080,1140)', 0.8, 12);
insert into smart_home.automation_suggestions (id, usage_pattern_id, title, pattern, confidence) values
    ('{SUGGESTION}', '{PATTERN}', 'Preheat', '{{}}', 0.8);
insert into smart_home.maintenance_plans (id, device_id, name, every_days) values
    ('{PLAN}', '{OVEN}', 'Clean', 90), ('{OTHER_PLAN}', '{FRIDGE}', 'Defrost', 180);
insert into smart_home.maintenance_bookings (id, device_id, plan_id, during) values
    ('{BOOKING}', '{OVEN}', '{PLAN}', '[2026-06-01 08:00+00,2026-06-01 10:00+00)');
"""


@pytest.fixture(scope="module")
def shared(migrated_server: NoopExecutor) -> Iterator[Connection]:
    """One database for all tests here: a clone takes longer than most of them."""
    given = migrated_server
    where = {"user": given.user, "host": given.host, "port": given.port}
    name = f"{given.dbname}_smart_home"
    with (
        DatabaseJanitor(**where, dbname=name, template_dbname=given.template_dbname),
        psycopg.connect(**where, dbname=name, autocommit=True) as connection,
    ):
        connection.execute(HOUSE)
        yield connection


@pytest.fixture
def house(shared: Connection) -> Iterator[Connection]:
    with shared.transaction(force_rollback=True):
        yield shared


def insert(table: str, **given: object) -> str:
    """Write an INSERT; numbers and text alike are literals of unknown type, None is NULL."""
    values = ", ".join("null" if value is None else f"'{value}'" for value in given.values())
    return f"insert into smart_home.{table} ({', '.join(given)}) values ({values})"


def period(**given: object) -> str:
    usual = {"tariff_id": TARIFF, "valid": "[2030-01-01,)", "price_per_kwh": 1}
    return insert("energy_tariff_periods", **{**usual, **given})


def meter(**given: object) -> str:
    return insert("energy_meters", **{"name": "New", "scope": "house", **given})


def reading(**given: object) -> str:
    return insert("energy_readings", **{"meter_id": METER, "power_w": 1, **given})


def day(**given: object) -> str:
    usual = {"meter_id": METER, "day": "2026-01-01", "energy_wh": 1, "readings": 1}
    return insert("energy_daily", **{**usual, **given})


def pattern(**given: object) -> str:
    usual = {"device_id": OVEN, "weekday": 2, "minutes": "[0,60)", "probability": 0.5, "observations": 1}
    return insert("usage_patterns", **{**usual, **given})


def suggestion(**given: object) -> str:
    return insert("automation_suggestions", **{"title": "S", "pattern": "{}", "confidence": 0.5, **given})


def feedback(**given: object) -> str:
    return insert("automation_feedback", **{"run_id": RUN, "user_id": USER, "is_helpful": True, **given})


def plan(**given: object) -> str:
    return insert("maintenance_plans", **{"device_id": OVEN, "name": "New", "every_days": 1, **given})


def booking(**given: object) -> str:
    usual = {"device_id": OVEN, "during": "[2026-07-01 08:00+00,2026-07-01 10:00+00)"}
    return insert("maintenance_bookings", **{**usual, **given})


def record(**given: object) -> str:
    usual = {"device_id": OVEN, "done_on": "2026-06-01", "work": "Cleaned"}
    return insert("maintenance_records", **{**usual, **given})


DECIDED = {"decided_by": USER, "decided_at": "2026-01-01"}
OVERLAP = "[2026-06-01 09:00+00,2026-06-01 11:00+00)"

# The constraint that must refuse, and what it must refuse.
REFUSED: list[tuple[str, str, type[psycopg.Error]]] = [
    ("uq_energy_tariffs_name", insert("energy_tariffs", name="Day and night"), UniqueViolation),
    ("ck_energy_tariffs_currency", insert("energy_tariffs", name="T", currency="eur"), CheckViolation),
    ("ck_energy_tariff_periods_valid", period(valid="empty"), CheckViolation),
    ("ck_energy_tariff_periods_minutes", period(minutes="[0,1441)"), CheckViolation),
    ("ck_energy_tariff_periods_minutes", period(minutes="empty"), CheckViolation),
    ("ck_energy_tariff_periods_price_per_kwh", period(price_per_kwh="NaN"), CheckViolation),
    (
        "ex_energy_tariff_periods_tariff_id_valid_minutes",
        period(valid="[2026-12-31,2028-01-01)", minutes="[359,361)"),
        ExclusionViolation,
    ),
    ("uq_energy_meters_name", meter(name="Oven"), UniqueViolation),
    (
        "uq_energy_meters_device_id_direction_channel",
        meter(scope="device", device_id=OVEN),
        UniqueViolation,
    ),
    ("ck_energy_meters_scope", meter(scope="street"), CheckViolation),
    ("ck_energy_meters_direction", meter(direction="up"), CheckViolation),
    ("ck_energy_meters_unit", meter(unit="BTU"), CheckViolation),
    ("ck_energy_meters_device_id", meter(scope="device"), CheckViolation),
    ("ck_energy_meters_device_id", meter(device_id=FRIDGE), CheckViolation),
    ("ck_energy_meters_room_id", meter(scope="room"), CheckViolation),
    ("ck_energy_meters_room_id", meter(room_id=OFFICE), CheckViolation),
    ("ck_energy_meters_import", meter(scope="room", room_id=OFFICE, direction="import"), CheckViolation),
    ("fk_energy_meters_tariff_id", f"delete from smart_home.energy_tariffs where id = '{TARIFF}'", psycopg.IntegrityError),
    ("ck_energy_readings_recorded_at", reading(recorded_at="infinity"), CheckViolation),
    ("ck_energy_readings_power_w", reading(power_w=1_000_001), CheckViolation),
    ("ck_energy_readings_power_w", reading(power_w="NaN"), CheckViolation),
    ("ck_energy_readings_energy_wh", reading(energy_wh=-1), CheckViolation),
    ("ck_energy_readings_energy_wh", reading(energy_wh="NaN"), CheckViolation),
    ("ck_energy_readings_any", reading(power_w=None), CheckViolation),
    ("ck_energy_daily_energy_wh", day(energy_wh=-1), CheckViolation),
    ("ck_energy_daily_currency", day(cost=1, currency="e"), CheckViolation),
    ("ck_energy_daily_cost", day(cost=1), CheckViolation),
    ("ck_energy_daily_readings", day(readings=-1), CheckViolation),
    ("ck_energy_daily_resets", day(resets=-1), CheckViolation),
    ("ck_energy_daily_closing_value", day(closing_value=1), CheckViolation),
    ("uq_usage_patterns_device_id_weekday_minutes", pattern(weekday=1, minutes="[1080,1140)"), UniqueViolation),
    ("ck_usage_patterns_weekday", pattern(weekday=0), CheckViolation),
    ("ck_usage_patterns_minutes", pattern(minutes="[-1,5)"), CheckViolation),
    ("ck_usage_patterns_probability", pattern(probability=1.001), CheckViolation),
    ("ck_usage_patterns_observations", pattern(observations=0), CheckViolation),
    ("uq_automation_suggestions_proposed", suggestion(usage_pattern_id=PATTERN), UniqueViolation),
    ("ck_automation_suggestions_state", suggestion(state="maybe"), CheckViolation),
    ("ck_automation_suggestions_confidence", suggestion(confidence=-0.1), CheckViolation),
    ("ck_automation_suggestions_pattern", suggestion(pattern="[]"), CheckViolation),
    ("ck_automation_suggestions_decided_by", suggestion(decided_by=USER), CheckViolation),
    ("ck_automation_suggestions_decided_at", suggestion(state="rejected"), CheckViolation),
    ("ck_automation_suggestions_decided_at", suggestion(state="expired", **DECIDED), CheckViolation),
    (
        "ck_automation_suggestions_automation_id",
        suggestion(state="rejected", automation_id=AUTOMATION, **DECIDED),
        CheckViolation,
    ),
    ("ck_automation_feedback_is_helpful", feedback(is_helpful=None), CheckViolation),
    ("uq_maintenance_plans_device_id_name", plan(name="Clean"), UniqueViolation),
    ("ck_maintenance_plans_every", plan(every_days=None), CheckViolation),
    ("ck_maintenance_plans_every_days", plan(every_days=0), CheckViolation),
    ("ck_maintenance_plans_every_hours", plan(every_hours=0), CheckViolation),
    ("ck_maintenance_plans_used_hours", plan(used_hours=-1), CheckViolation),
    ("ck_maintenance_bookings_state", booking(state="maybe"), CheckViolation),
    ("ck_maintenance_bookings_during", booking(during="empty"), CheckViolation),
    ("ck_maintenance_bookings_during", booking(during="[2026-01-01,)"), CheckViolation),
    ("ck_maintenance_bookings_during", booking(during="[2026-01-01,infinity)"), CheckViolation),
    ("ck_maintenance_bookings_during", booking(during="[-infinity,2026-01-01)"), CheckViolation),
    ("ex_maintenance_bookings_device_id_during", booking(during=OVERLAP), ExclusionViolation),
    ("ex_maintenance_bookings_device_id_during", booking(during=OVERLAP, state="done"), ExclusionViolation),
    ("fk_maintenance_bookings_plan_id_device_id", booking(plan_id=OTHER_PLAN), ForeignKeyViolation),
    ("fk_maintenance_records_plan_id_device_id", record(plan_id=OTHER_PLAN), ForeignKeyViolation),
    ("ck_maintenance_records_used_hours", record(used_hours=-1), CheckViolation),
    ("ck_maintenance_records_cost", record(cost=-1, currency="EUR"), CheckViolation),
    ("ck_maintenance_records_cost_currency", record(cost=1), CheckViolation),
    ("ck_maintenance_records_currency", record(cost=1, currency="E"), CheckViolation),
    ("ck_maintenance_records_parts", record(parts="{}"), CheckViolation),
]  # fmt: skip

# Neighbours of what is refused.
TAKEN = [
    period(valid="[2025-01-01,2026-01-01)"),
    period(valid="[2026-01-01,2027-01-01)", tariff_id=key(20)),
    meter(scope="device", device_id=OVEN, channel="2"),
    meter(name="Export", direction="export"),
    reading(power_w=-40, energy_wh=0),
    suggestion(usage_pattern_id=PATTERN, state="expired"),
    suggestion(usage_pattern_id=PATTERN, state="accepted", automation_id=AUTOMATION, **DECIDED),
    feedback(is_helpful=None, was_undone=True),
    booking(during="[2026-06-01 10:00+00,2026-06-01 11:00+00)"),
    booking(during=OVERLAP, state="cancelled"),
    booking(during=OVERLAP, device_id=FRIDGE),
    record(booking_id=BOOKING, plan_id=PLAN, cost=0, currency="EUR", parts='["filter"]'),
]

# A second one of what may be there once.
TWICE = [
    ("uq_automation_suggestions_automation_id", suggestion(state="accepted", automation_id=AUTOMATION, **DECIDED)),
    ("uq_automation_feedback_run_id_user_id", feedback()),
    ("uq_maintenance_records_booking_id", record(booking_id=BOOKING)),
]  # fmt: skip


def refuses(database: Connection, constraint: str, statement: str, why: type[psycopg.Error]) -> None:
    with pytest.raises(why) as refused, database.transaction():
        database.execute(statement)
    assert refused.value.diag.constraint_name == constraint, statement


def test_every_constraint_refuses_what_it_is_there_for(house: Connection) -> None:
    for constraint, statement, why in REFUSED:
        refuses(house, constraint, statement, why)


def test_what_is_allowed_beside_it_is_taken_once(house: Connection) -> None:
    house.execute(insert("energy_tariffs", id=key(20), name="Flat"))
    for statement in TAKEN:
        house.execute(statement)
    for constraint, statement in TWICE:
        refuses(house, constraint, statement, UniqueViolation)


def test_every_check_and_exclusion_has_its_test(house: Connection) -> None:
    known = {constraint for constraint, _, _ in REFUSED}
    found = house.execute(
        "select conname from pg_constraint where contype in ('c', 'x') and conrelid = any(%s::regclass[])",
        [[f"smart_home.{table}" for table in TABLES]],
    )
    assert {name for (name,) in found} - known == set()


TABLES = (
    *("energy_tariffs", "energy_tariff_periods", "energy_meters", "energy_readings", "energy_daily"),
    *("usage_patterns", "automation_suggestions", "automation_feedback"),
    *("maintenance_plans", "maintenance_bookings", "maintenance_records"),
)

REQUIRED = [
    meter(scope=None), meter(direction=None), period(valid=None), period(minutes=None), period(price_per_kwh=None),
    booking(during=None), plan(used_hours=None), suggestion(confidence=None), pattern(probability=None),
    feedback(was_undone=None), feedback(user_id=None), record(done_on=None), record(work=None), day(energy_wh=None),
]  # fmt: skip


def test_what_a_row_means_may_not_be_left_out(house: Connection) -> None:
    for statement in REQUIRED:
        with pytest.raises(NotNullViolation), house.transaction():
            house.execute(statement)


def test_of_two_at_once_the_second_waits_and_is_refused(database_url: URL) -> None:
    """It gets the window if the first gives up."""
    waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
    with connect(database_url) as early, connect(database_url) as late, connect(database_url) as watch:

        def second() -> None:
            try:
                late.execute(statement)
                ended.append(None)
            except psycopg.Error as error:
                ended.append(type(error))

        early.execute(HOUSE)
        for statement, gives_up, end in (
            (booking(), True, None),
            (booking(), False, ExclusionViolation),
            (period(), True, None),
            (period(), False, ExclusionViolation),
        ):
            early.execute("delete from smart_home.maintenance_bookings")
            early.execute("delete from smart_home.energy_tariff_periods")
            ended: list[type[psycopg.Error] | None] = []
            thread = threading.Thread(target=second)
            with early.transaction(force_rollback=gives_up):
                early.execute(statement)
                thread.start()
                until(lambda: watch.execute(waits, [late.info.backend_pid]).fetchone() == (True,))
                assert ended == []
            thread.join(10)
            assert ended == [end]


def one(database: Connection, query: str) -> Any:
    (value,) = database.execute(query).fetchone()
    return value


@dataclass
class Day:
    """A day of one meter, as the model in Python has it."""

    energy_wh: Fraction = Fraction(0)
    cost: Fraction | None = None
    readings: int = 0
    resets: int = 0
    peak_w: Fraction | None = None


Reading = tuple[dt.datetime, Fraction | None, Fraction | None]
Prices = Sequence[tuple[int, int, Fraction]]


def local(date: dt.date, minutes: int) -> dt.datetime:
    """Tell when so many minutes of a day of the house are over, by the clock on its wall."""
    naive = dt.datetime.combine(date, dt.time()) + dt.timedelta(minutes=minutes)
    return naive.replace(tzinfo=ZONE).astimezone(dt.UTC)


def seconds(since: dt.datetime, until: dt.datetime) -> Fraction:
    return max(Fraction((until - since) // dt.timedelta(microseconds=1), 1_000_000), Fraction(0))


def overlap(one: tuple[dt.datetime, dt.datetime], other: tuple[dt.datetime, dt.datetime]) -> Fraction:
    return seconds(max(one[0], other[0]), min(one[1], other[1]))


def flow(unit: str, before: Fraction, after: Fraction, took: Fraction) -> Fraction:
    if unit == "W":
        return (before + after) / 2 * took / 3600
    return after if after < before else after - before


def model(readings: Sequence[Reading], unit: str, prices: Prices) -> Mapping[dt.date, Day]:
    """Roll up by the definition: second by second, in fractions."""
    days: dict[dt.date, Day] = defaultdict(Day)
    values = []
    for at, power, energy in sorted(readings):
        found = days[at.astimezone(ZONE).date()]
        found.readings += 1
        if power is not None:
            found.peak_w = power if found.peak_w is None else max(found.peak_w, power)
        value = energy if unit != "W" else None if power is None else max(power, Fraction(0))
        if value is not None:
            values.append((at, value))
    for (since, before), (till, after) in pairwise(values):
        took = seconds(since, till)
        if unit == "W" and took > 3600:
            continue
        energy = flow(unit, before, after, took)
        date = since.astimezone(ZONE).date()
        while local(date, 0) < till:
            bounds = (max(since, local(date, 0)), min(till, local(date, 24 * 60)))
            found = days[date]
            found.energy_wh += energy * seconds(*bounds) / took
            found.resets += unit != "W" and after < before and bounds[1] == till
            for first, last, price in prices:
                priced = overlap(bounds, (local(date, first), local(date, last)))
                if priced:
                    found.cost = (found.cost or Fraction(0)) + energy * priced / took * price / 1000
            date += dt.timedelta(days=1)
    return days


DAY_AND_NIGHT = [(360, 1320, Fraction("0.4")), (0, 360, Fraction("0.2")), (1320, 1440, Fraction("0.2"))]


def invented(seed: int, unit: str, start: dt.datetime, hours: int) -> list[Reading]:
    """Make up readings: uneven, with gaps over days, values left out, resets, and power below zero."""
    chance = random.Random(seed)  # noqa: S311 (not a secret)
    at, counter, found = start, Fraction(chance.randrange(10_000_000), 1000), []
    while at < start + hours * HOUR:
        power = Fraction(chance.randrange(-500, 30_000), 10)
        counter += Fraction(chance.randrange(900_000), 1000)
        if chance.random() < 0.05:
            counter = Fraction(chance.randrange(50_000), 1000)
        shown = chance.random()
        energy = None if unit == "W" or shown < 0.1 else counter
        found.append((at, None if energy is not None and shown > 0.7 else power, energy))
        at += dt.timedelta(microseconds=chance.randrange(60_000_000, 5_000_000_000))
        if chance.random() < 0.01:
            at += 55 * HOUR
    return found


def put(database: Connection, meter_id: str, readings: Sequence[Reading]) -> None:
    rows = [
        (meter_id, at, None if power is None else str(float(power)), None if energy is None else str(float(energy)))
        for at, power, energy in readings
    ]  # fmt: skip
    with database.cursor() as cursor:
        cursor.executemany("insert into smart_home.energy_readings values (%s, %s, %s, %s)", rows)


def rolled_up(database: Connection, meter_id: str) -> dict[dt.date, Day]:
    query = (
        "select day, energy_wh, cost, readings, resets, peak_power_w from smart_home.energy_daily"
        " where meter_id = %s order by day"
    )
    return {
        date: Day(Fraction(wh), None if cost is None else Fraction(cost), readings, resets,
                  None if peak is None else Fraction(peak))
        for date, wh, cost, readings, resets, peak in database.execute(query, [meter_id])
    }  # fmt: skip


def same(found: Mapping[dt.date, Day], wanted: Mapping[dt.date, Day]) -> None:
    assert list(found) == sorted(wanted)
    for date, day in found.items():
        expected = wanted[date]
        assert abs(day.energy_wh - expected.energy_wh) <= Fraction(1, 1000), date
        assert (day.cost is None) == (expected.cost is None), date
        assert abs((day.cost or 0) - (expected.cost or 0)) <= Fraction(1, 100_000), date
        assert (day.readings, day.resets, day.peak_w) == (expected.readings, expected.resets, expected.peak_w)


ALL_DAYS = "'2026-01-01', '2026-12-31'"


def roll_up(database: Connection, days: str = ALL_DAYS) -> int:
    count: int = one(database, f"select smart_home.roll_up_energy({days})")
    return count


# Summer time begins in one and ends in the other.
SPRING = dt.datetime(2026, 3, 26, 3, 17, tzinfo=dt.UTC)
AUTUMN = dt.datetime(2026, 10, 22, 3, 17, tzinfo=dt.UTC)


def test_days_are_rolled_up_as_the_model_says(house: Connection) -> None:
    for number, (unit, start) in enumerate([(u, s) for u in ("W", "kWh") for s in (SPRING, AUTUMN)]):
        meter_id = key(100 + number)
        house.execute(meter(id=meter_id, name=f"{number}", unit=unit, tariff_id=TARIFF))
        readings = invented(number, unit, start, 15 * 24)
        put(house, meter_id, readings)
        wanted = model(readings, unit, DAY_AND_NIGHT)
        assert roll_up(house) == len(wanted) >= 7
        same(rolled_up(house, meter_id), wanted)
        assert (sum(day.resets for day in wanted.values()) > 3) == (unit == "kWh")


def content(database: Connection) -> list[tuple[object, ...]]:
    return database.execute("select d::text, ctid::text from smart_home.energy_daily d order by 1").fetchall()


def test_rolling_up_again_changes_nothing(house: Connection) -> None:
    put(house, METER, invented(7, "kWh", SPRING, 10 * 24))
    assert roll_up(house) > 7
    before = content(house)
    assert roll_up(house) == 0
    assert content(house) == before


def test_day_by_day_gives_what_the_whole_span_gives(house: Connection) -> None:
    put(house, METER, invented(8, "kWh", SPRING, 10 * 24))
    for date in range(24, 32):
        roll_up(house, f"'2026-03-{date}', '2026-03-{date}'")
    for date in range(12, 0, -1):
        roll_up(house, f"'2026-04-{date}', '2026-04-{date}'")
    assert len(content(house)) > 7
    assert roll_up(house) == 0


def test_late_readings_are_taken_in(house: Connection) -> None:
    readings = invented(9, "kWh", SPRING, 5 * 24)
    put(house, METER, readings[::2])
    roll_up(house)
    put(house, METER, readings[1::2])
    assert roll_up(house) > 0
    same(rolled_up(house, METER), model(readings, "kWh", DAY_AND_NIGHT))


def hourly(*values: tuple[str, float]) -> list[Reading]:
    return [
        (dt.datetime.fromisoformat(f"2026-05-{at}+00:00"), None, Fraction(str(value))) for at, value in values
    ]


def test_a_worked_example(house: Connection) -> None:
    """Midnight of the house is 22:00 UTC; 22:00 of the house, where the night's price begins, is 20:00 UTC."""
    put(
        house,
        METER,
        hourly(
            ("04T19:00", 50_000), ("04T21:00", 52_000), ("04T23:00", 53_000), ("05T05:00", 200), ("05T06:00", 1200)
        ),
    )  # fmt: skip
    assert roll_up(house) == 2
    rows = house.execute(
        "select day::text, energy_wh, cost, currency, readings, resets, closing_value from smart_home.energy_daily order by day"
    ).fetchall()
    # The 4th: 2000 Wh, half of them by day, and half of the 1000 Wh across midnight.
    # The 5th: the other half; 200 Wh after the reset, 5 of their 6 hours at night; 1000 Wh by day.
    assert [(row[0], float(row[1]), round(float(row[2]), 6), *row[3:6], float(row[6])) for row in rows] == [
        ("2026-05-04", 2500, 0.7, "EUR", 2, 0, 52_000),
        ("2026-05-05", 1700, round(0.1 + 0.2 * 5 / 6 * 0.2 + 0.2 / 6 * 0.4 + 0.4, 6), "EUR", 3, 1, 1200),
    ]


def test_a_meter_without_a_tariff_costs_nothing_known(house: Connection) -> None:
    house.execute(f"update smart_home.energy_meters set tariff_id = null where id = '{METER}'")
    put(house, METER, hourly(("04T10:00", 0), ("04T11:00", 100)))
    roll_up(house)
    assert house.execute("select energy_wh, cost, currency from smart_home.energy_daily").fetchall() == [
        (100, None, None)
    ]


def test_energy_stays_in_the_room_where_it_was_used(house: Connection) -> None:
    put(house, METER, hourly(("04T10:00", 0), ("04T11:00", 100)))
    roll_up(house)
    house.execute(f"update smart_home.devices set room_id = '{OFFICE}' where id = '{OVEN}'")
    put(house, METER, hourly(("04T12:00", 200), ("06T11:00", 300), ("06T12:00", 400)))
    roll_up(house)
    assert house.execute(
        "select extract(day from day)::int, room from smart_home.room_energy_daily order by 1"
    ).fetchall() == [(4, "Kitchen"), (5, "Office"), (6, "Office")]


def plain(database: Connection) -> None:
    """Make the readings an ordinary table, as they are where TimescaleDB is missing."""
    database.execute("""
        create table smart_home.plain_readings (like smart_home.energy_readings including all);
        drop table smart_home.energy_readings;
        alter table smart_home.plain_readings rename to energy_readings;
    """)


def old_and_new(unit: str) -> list[Reading]:
    """Make up the last 40 days, with a month in chunks that are old enough to go."""
    start = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) - 40 * 24 * HOUR
    return invented(3, unit, start, 40 * 24 - 2)


def all_days(database: Connection) -> int:
    return roll_up(database, "current_date - 100, current_date + 1")


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "hypertable"])
@pytest.mark.parametrize("unit", ["W", "kWh"])
def test_old_readings_go_and_their_days_stay(house: Connection, unit: str, *, is_plain: bool) -> None:
    if is_plain:
        plain(house)
    house.execute("delete from smart_home.energy_tariff_periods")
    house.execute(f"update smart_home.energy_meters set unit = '{unit}'")
    readings = old_and_new(unit)
    put(house, METER, readings)
    dropped = house.execute(
        "select dropped, readings from smart_home.drop_old_energy_readings('10 days')"
    ).fetchall()
    kept = one(house, "select count(*) from smart_home.energy_readings")
    assert sum(count for _, count in dropped) == len(readings) - kept > 0
    if is_plain:
        assert [name for name, _ in dropped] == ["smart_home.energy_readings"]
    else:
        assert len(dropped) >= 3
        assert all(name.startswith("_timescaledb_internal.") for name, _ in dropped)
    assert one(house, "select bool_and(is_sealed) from smart_home.energy_daily")
    # The first day that is kept begins with what the last one that is gone left behind.
    assert roll_up(
        house, "((now() - interval '10 days') at time zone 'Europe/Berlin')::date, current_date + 1"
    )
    assert all_days(house) == 0
    same(rolled_up(house, METER), model(readings, unit, []))
    # Nothing is worked out again from what is left.
    house.execute("delete from smart_home.energy_readings where recorded_at < now() - interval '12 days'")
    assert all_days(house) == 0
    house.execute(
        f"insert into smart_home.energy_readings values ('{METER}', now() - interval '20 days', 5, 5)"
    )
    all_days(house)
    same(rolled_up(house, METER), model(readings, unit, []))


def test_there_may_be_nothing_to_drop(house: Connection) -> None:
    query = "select * from smart_home.drop_old_energy_readings('10 days')"
    assert house.execute(query).fetchall() == []
    house.execute(reading())
    assert house.execute(query).fetchall() == []
    assert one(house, "select count(*) from smart_home.energy_readings") == 1


def test_readings_of_a_day_that_still_runs_are_never_dropped(house: Connection) -> None:
    for interval in ("'1 day'", "'-3 days'", "null"):
        with pytest.raises(InvalidParameterValue, match="at least 2 days"), house.transaction():
            house.execute(f"select smart_home.drop_old_energy_readings({interval})")


def test_dropping_is_the_operators_job(house: Connection) -> None:
    for group in ("homeops_app", "homeops_readonly"):
        house.execute(f"set role {group}")
        with pytest.raises(InsufficientPrivilege), house.transaction():
            house.execute("select smart_home.drop_old_energy_readings('10 days')")
        house.execute("reset role")
    assert "once a day" in one(
        house,
        "select obj_description('smart_home.drop_old_energy_readings(interval)'::regprocedure, 'pg_proc')",
    )


def test_readings_are_a_hypertable(house: Connection) -> None:
    query = (
        "select count(*) from timescaledb_information.hypertables where hypertable_name = 'energy_readings'"
    )
    assert one(house, query) == 1


METERS = [
    # Room, device, direction and tariff of each; a meter with neither is the house's.
    (KITCHEN, OVEN, "consumption", True),
    (KITCHEN, FRIDGE, "consumption", False),
    (OFFICE, DESK, "consumption", True),
    (OFFICE, None, "consumption", True),
    (None, LOOSE, "consumption", True),
    (KITCHEN, FRIDGE, "export", True),
    (None, None, "import", True),
    (None, None, "consumption", True),
]


def test_the_energy_of_a_room_is_that_of_its_own_meter_or_of_its_devices(house: Connection) -> None:
    """The office's own meter has nothing in the first week: there its devices count."""
    house.execute("delete from smart_home.energy_meters")
    wanted: dict[tuple[str | None, dt.date], list[tuple[bool, Day]]] = defaultdict(list)
    for number, (room, device, direction, is_priced) in enumerate(METERS):
        scope = "device" if device else "room" if room else "house"
        house.execute(
            meter(
                id=key(100 + number), name=f"{number}", scope=scope, device_id=device, direction=direction,
                room_id=room if scope == "room" else None, tariff_id=TARIFF if is_priced else None,
            )
        )  # fmt: skip
        start = SPRING + (7 * 24 * HOUR if scope == "room" else dt.timedelta())
        readings = invented(number, "kWh", start, 12 * 24)
        put(house, key(100 + number), readings)
        if direction == "consumption" and scope != "house":
            for date, day in model(readings, "kWh", DAY_AND_NIGHT if is_priced else []).items():
                wanted[room, date].append((scope == "room", day))
    roll_up(house)
    found = {
        (str(room) if room else None, date): (energy, cost, currency)
        for room, date, energy, cost, currency in house.execute(
            "select room_id, day, energy_wh, cost, currency from smart_home.room_energy_daily"
        )
    }
    assert found.keys() == wanted.keys()
    owned = 0
    for place, days in wanted.items():
        whole = [day for is_whole, day in days if is_whole]
        owned += bool(whole)
        counted = whole or [day for _, day in days]
        energy, cost, currency = found[place]
        assert abs(Fraction(energy) - sum(day.energy_wh for day in counted)) <= Fraction(1, 100)
        costs = [day.cost for day in counted if day.cost is not None]
        assert (cost is None, currency) == ((True, None) if not costs else (False, "EUR"))
        assert abs(Fraction(cost or 0) - sum(costs)) <= Fraction(1, 10_000)
    assert 10 < owned < len(wanted)


def test_costs_in_two_currencies_are_not_added_up(house: Connection) -> None:
    house.execute(meter(id=key(100), scope="device", device_id=FRIDGE))
    house.execute(day(cost=1, currency="EUR", room_id=KITCHEN))
    house.execute(day(meter_id=key(100), cost=2, currency="USD", room_id=KITCHEN))
    assert house.execute("select energy_wh, cost, currency from smart_home.room_energy_daily").fetchall() == [
        (2, None, None)
    ]


# Of plans that began 100 days ago: every_days, every_hours, used_hours, then days since the last record and
# the hours on it; in how many days the next time is due.
DUE: list[tuple[int | None, int | None, float, int | None, float | None, int | None]] = [
    (90, None, 0, None, None, -10),
    (90, None, 0, 30, None, 60),
    (None, 500, 0, None, None, None),
    (None, 500, 250, None, None, 100),
    (None, 500, 1000, None, None, -50),
    (None, 300, 400, 20, 300, 40),
    (90, 500, 400, None, None, -10),
    (365, 500, 400, None, None, 25),
    (None, 99_999_999, 0.1, None, None, 36_400),
    (None, 10, 25, 0, 10, 0),
    (None, 10, 25, 0, 20, None),
]


def test_maintenance_is_due_by_days_or_by_hours_whichever_comes_first(house: Connection) -> None:
    house.execute("delete from smart_home.maintenance_plans")
    for number, (days, hours, used, done, done_hours, _) in enumerate(DUE):
        plan_id = key(200 + number)
        house.execute(
            plan(id=plan_id, name=f"{number:02}", every_days=days, every_hours=hours, used_hours=used)
        )
        house.execute(
            f"update smart_home.maintenance_plans set starts_on = current_date - 100 where id = '{plan_id}'"
        )
        if done is not None:
            for ago, on_it in ((done + 5, 1), (done, done_hours)):
                today = one(house, "select current_date")
                house.execute(
                    record(plan_id=plan_id, done_on=today - dt.timedelta(days=ago), used_hours=on_it)
                )
    house.execute(plan(name="Asleep", is_active=False))
    rows = house.execute(
        "select plan, due_on - current_date, is_overdue from smart_home.maintenance_due where device = 'Oven' order by plan"
    ).fetchall()
    assert rows == [
        (f"{number:02}", due, None if due is None else due < 0) for number, (*_, due) in enumerate(DUE)
    ]


def test_what_is_due_names_the_next_booking(house: Connection) -> None:
    def book(days: int, state: str = "booked") -> None:
        house.execute(
            f"insert into smart_home.maintenance_bookings (device_id, plan_id, state, during) values ('{OVEN}', '{PLAN}',"
            f" '{state}', tstzrange(now() + {days} * interval '1 day', now() + {days} * interval '1 day' + '1 hour'))"
        )

    house.execute("delete from smart_home.maintenance_bookings")
    query = (
        "select (lower(booked_for)::date - now()::date) from smart_home.maintenance_due where plan = 'Clean'"
    )
    assert one(house, query) is None
    for days in (9, 5, -3):
        book(days)
    book(2, "cancelled")
    assert one(house, query) == 5


def test_a_plan_goes_and_what_was_done_stays(house: Connection) -> None:
    house.execute(record(plan_id=PLAN, booking_id=BOOKING))
    house.execute(f"delete from smart_home.maintenance_plans where id = '{PLAN}'")
    for table in ("maintenance_bookings", "maintenance_records"):
        assert house.execute(f"select device_id, plan_id from smart_home.{table}").fetchall() == [
            (uuid.UUID(OVEN), None)
        ]


def test_a_device_takes_everything_of_its_own_along(house: Connection) -> None:
    house.execute(record(plan_id=PLAN, booking_id=BOOKING))
    house.execute(reading())
    roll_up(house, "current_date - 1, current_date + 1")
    house.execute(f"delete from smart_home.devices where id = '{OVEN}'")
    left = {table: one(house, f"select count(*) from smart_home.{table}") for table in TABLES}
    assert {table: count for table, count in left.items() if count} == {
        "energy_tariffs": 1,
        "energy_tariff_periods": 4,
        "automation_suggestions": 1,
        "maintenance_plans": 1,
    }


def test_money_leaves_a_trail(house: Connection) -> None:
    house.execute(f"update smart_home.energy_tariffs set currency = 'CHF' where id = '{TARIFF}'")
    house.execute("update smart_home.energy_tariff_periods set price_per_kwh = 1 where lower(minutes) = 360")
    house.execute(record(cost=5, currency="EUR"))
    rows = house.execute(
        "select table_name, operation, changed_columns[1] from core.audit_log where operation = 'UPDATE'"
        " or table_name = 'maintenance_records' order by id"
    ).fetchall()
    assert rows == [
        ("energy_tariffs", "UPDATE", "currency"),
        ("energy_tariff_periods", "UPDATE", "price_per_kwh"),
        ("maintenance_records", "INSERT", None),
    ]


def test_views_read_as_whoever_asks(house: Connection) -> None:
    query = (
        "select relname from pg_class where relkind = 'v' and relnamespace = 'smart_home'::regnamespace"
        " and not 'security_invoker=true' = any(coalesce(reloptions, '{}'))"
    )
    assert house.execute(query).fetchall() == []
