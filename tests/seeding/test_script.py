"""Taking SQL files apart; nothing here needs a server."""

import pytest

from homeops_db.errors import SeedError
from homeops_db.seeding import files, script
from homeops_db.seeding.script import Statement
from tests.seeding.conftest import Seeds


def read(seeds: Seeds, text: str) -> list[Statement]:
    seeds.write("common/001_a.sql", text)
    (file,) = files.read("development", seeds.folder)
    return script.read(file)


def test_statements_and_their_lines(seeds: Seeds) -> None:
    found = read(
        seeds,
        """
        -- é; not a statement
        SELECT 'a;b', $$c;
        d$$; /* ; */ SELECT 2
        ;

        -- ü
        INSERT INTO t VALUES ('ß;')""",
    )
    assert [(statement.line, statement.head) for statement in found] == [
        (2, "SELECT 'a;b', $$c; d$$"),
        (3, "SELECT 2"),
        (7, "INSERT INTO t VALUES ('ß;')"),
    ]
    assert found[0].text.endswith("$$c;\n        d$$") or found[0].text.endswith("$$c;\nd$$")


def test_a_long_head_is_cut(seeds: Seeds) -> None:
    (statement,) = read(seeds, "SELECT\n\t" + ", ".join(str(n) for n in range(100)))
    assert len(statement.head) <= script.HEAD_LENGTH
    assert statement.head.startswith("SELECT 0, 1, 2")
    assert statement.head.endswith("…")


@pytest.mark.parametrize("text", ["", "-- nothing\n", ";\n;"])
def test_a_file_may_hold_nothing(seeds: Seeds, text: str) -> None:
    assert read(seeds, text) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT 1;\nSELECT 'é';\nSELEC 3;\n", 'line 3: syntax error at or near "SELEC"'),
        ("SELECT 1;\n\nSELECT (\n\n", "line 3: syntax error at end of input"),
        ("SELECT 1;\nSELECT 'open\n", "line 2: unterminated quoted string"),
        ("SELECT :name;", "line 1: syntax error"),
    ],
)
def test_a_syntax_error_has_its_line(seeds: Seeds, text: str, told: str) -> None:
    with pytest.raises(SeedError, match=told.replace("(", r"\(")) as caught:
        read(seeds, text)
    assert str(caught.value).startswith("common/001_a.sql, ")


@pytest.mark.parametrize("command", [r"\set x 1", r"\copy t from 'x.csv'", r"\i other.sql"])
def test_commands_of_psql_are_refused(seeds: Seeds, command: str) -> None:
    with pytest.raises(SeedError, match=r"common/001_a.sql, line 2: .*psql's own commands") as caught:
        read(seeds, f"SELECT 1;\n{command}\nSELECT 2;")
    assert command in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO a",
        "PREPARE TRANSACTION 'a'",
        "COMMIT PREPARED 'a'",
    ],
)
def test_transaction_control_is_refused(seeds: Seeds, command: str) -> None:
    with pytest.raises(SeedError, match=f"common/001_a.sql, line 2: {command}: the loader makes"):
        read(seeds, f"SELECT 1;\n{command};")


@pytest.mark.parametrize(
    ("command", "told"), [("COPY t FROM stdin", "NNN_schema.table.csv"), ("TRUNCATE t", "a second run")]
)
def test_what_no_seed_may_do_is_refused(seeds: Seeds, command: str, told: str) -> None:
    with pytest.raises(SeedError, match=f"line 1: {command}: .*{told}"):
        read(seeds, f"{command};")


def test_words_of_transaction_control_in_a_body_are_no_statements(seeds: Seeds) -> None:
    assert len(read(seeds, "DO $$ BEGIN NULL; END $$; SELECT 'COMMIT;'")) == 2


def test_a_file_that_is_not_utf8_is_told(seeds: Seeds) -> None:
    seeds.write("common/001_a.sql", "").write_bytes(b"SELECT '\xe9';")
    (file,) = files.read("development", seeds.folder)
    with pytest.raises(SeedError, match=r"001_a.sql: the file isn't UTF-8 \(byte 8\)"):
        script.read(file)
