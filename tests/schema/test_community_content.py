"""What people write: posts and comments, who reports them, and what moderators decide."""

from threading import Thread
from uuid import UUID

import pytest
from psycopg.errors import (
    CheckViolation,
    ForeignKeyViolation,
    GeneratedAlways,
    InsufficientPrivilege,
    NotNullViolation,
    RestrictViolation,
    UniqueViolation,
)

from tests.schema.community import BUYER, HELPER, SELLER, Community, uid
from tests.schema.test_roles import member

# A RESTRICT that refuses has a class of its own from PostgreSQL 18 on.
RESTRICTED = (ForeignKeyViolation, RestrictViolation)

COMMENT = (
    "insert into community.comments (post_id, parent_id, depth, author_id, body) values (%s, %s, %s, %s, 'Yes')"
    " returning id"
)
ACT = "insert into community.moderation_actions (post_id, comment_id, moderator_id, state, note) values (%s, %s, %s, %s, 'Why')"


def post(town: Community, title: str = "Look") -> UUID:
    return town.one(
        "insert into community.posts (author_id, title) values (%s, %s) returning id", BUYER, title
    )


def visible(town: Community) -> set[UUID]:
    return {found for (found,) in town.rows("select post_id from community.visible_posts")}


def test_a_post_is_visible_as_moderators_decided_last(town: Community) -> None:
    one, other = post(town), post(town)
    assert visible(town) == {one, other}
    for state, seen in (("hidden", {other}), ("visible", {one, other}), ("removed", {other})):
        town.do(ACT, one, None, HELPER, state)
        assert visible(town) == seen
        assert town.one("select moderation_state from community.posts where id = %s", one) == state


@pytest.mark.parametrize("table", ["posts", "comments"])
def test_nothing_but_a_decision_changes_a_state(town: Community, table: str) -> None:
    first = post(town)
    subject = first if table == "posts" else town.one(COMMENT, first, None, 0, BUYER)
    given = (subject, None) if table == "posts" else (None, subject)
    change = f"update community.{table} set moderation_state = %s where id = %s"
    for state in ("hidden", "removed", "pending"):
        town.refuses(CheckViolation, change, state, subject)
    town.do(ACT, *given, HELPER, "hidden")
    town.refuses(CheckViolation, change, "visible", subject)
    assert town.one(f"select is_visible from community.{table} where id = %s", subject) is False
    town.do(f"update community.{table} set body = 'Other' where id = %s", subject)
    town.refuses(GeneratedAlways, f"update community.{table} set is_visible = true where id = %s", subject)


def test_a_post_begins_visible_or_waits(town: Community) -> None:
    begin = "insert into community.posts (title, moderation_state) values ('A', %s)"
    for state in ("hidden", "removed", "seen"):
        town.refuses(CheckViolation, begin, state)
    town.do(begin, "pending")
    assert visible(town) == set()
    town.refuses(CheckViolation, "insert into community.posts (title) values (' ')")


def test_of_two_moderators_at_once_the_later_decision_stands(town: Community) -> None:
    """Even where the earlier number comes to the post last."""
    subject = post(town)
    number = town.one("select nextval(pg_get_serial_sequence('community.moderation_actions', 'id'))")
    slow, quick = town.another(), town.another()
    quick.execute(ACT, [subject, None, HELPER, "removed"])
    ended: list[bool] = []

    def decide() -> None:
        slow.execute(
            "insert into community.moderation_actions (id, post_id, moderator_id, state, note)"
            " overriding system value values (%s, %s, %s, 'hidden', 'Why')",
            [number, subject, HELPER],
        )
        slow.commit()
        ended.append(True)

    thread = Thread(target=decide)
    thread.start()
    thread.join(0.3)
    assert ended == []
    quick.commit()
    thread.join(10)
    assert ended == [True]
    assert town.rows("select state from community.moderation_actions order by id") == [
        ("hidden",),
        ("removed",),
    ]
    assert town.one("select moderation_state from community.posts") == "removed"


def test_a_decision_says_who_and_why_and_stays(town: Community) -> None:
    subject = post(town)
    town.refuses(NotNullViolation, ACT, subject, None, None, "hidden")
    town.refuses(CheckViolation, ACT, subject, None, HELPER, "pending")
    town.refuses(CheckViolation, ACT, None, None, HELPER, "hidden")
    town.refuses(CheckViolation, ACT, subject, town.one(COMMENT, subject, None, 0, BUYER), HELPER, "hidden")
    town.refuses(CheckViolation, ACT.replace("'Why'", "' '"), subject, None, HELPER, "hidden")
    for app in member(town.url, "homeops_app"):
        app.execute(ACT, [subject, None, HELPER, "hidden"])
        for statement in (
            "update community.moderation_actions set note = 'Other'",
            "delete from community.moderation_actions",
        ):
            with pytest.raises(InsufficientPrivilege):
                app.execute(statement)
    assert visible(town) == set()
    town.refuses(RESTRICTED, "delete from community.posts where id = %s", subject)
    town.refuses(RESTRICTED, "delete from core.users where id = %s", HELPER)


def test_comments_are_a_tree_of_one_post(town: Community) -> None:
    one, other = post(town), post(town)
    root = town.one(COMMENT, one, None, 0, BUYER)
    child = town.one(COMMENT, one, root, 1, SELLER)
    town.refuses(ForeignKeyViolation, COMMENT, other, root, 1, BUYER)
    town.refuses(ForeignKeyViolation, COMMENT, one, root, 2, BUYER)
    town.refuses(CheckViolation, COMMENT, one, root, 0, BUYER)
    town.refuses(CheckViolation, COMMENT, one, None, 1, BUYER)
    town.refuses(CheckViolation, COMMENT, one, None, -1, BUYER)
    town.refuses(CheckViolation, "update community.comments set depth = 21 where id = %s", child)
    town.refuses(CheckViolation, "update community.comments set body = ' ' where id = %s", child)
    # A circle would need a comment that is deeper than itself.
    for depth in (0, 1, 2):
        town.refuses(
            (CheckViolation, ForeignKeyViolation),
            "update community.comments set parent_id = %s, depth = %s where id = %s",
            *(child, depth, root),
        )
    town.do("delete from community.comments where id = %s", root)
    assert town.one("select count(*) from community.comments") == 0


def test_a_visible_post_counts_what_can_be_seen(town: Community) -> None:
    subject = post(town)
    for _ in range(3):
        comment = town.one(COMMENT, subject, None, 0, BUYER)
    town.do(ACT, None, comment, HELPER, "hidden")
    react = "insert into community.reactions (post_id, user_id, kind) values (%s, %s, %s)"
    for user, kind in ((SELLER, "like"), (SELLER, "funny"), (HELPER, "like")):
        town.do(react, subject, user, kind)
    town.refuses(UniqueViolation, react, subject, SELLER, "like")
    town.refuses(CheckViolation, react, subject, SELLER, "bored")
    post(town, "Nobody answers")
    assert town.rows("select title, comments, reactions from community.visible_posts order by 1") == [
        ("Look", 2, 3),
        ("Nobody answers", 0, 0),
    ]


REPORT = "insert into community.reports (post_id, comment_id, reporter_id, reason_code) values (%s, %s, %s, %s) returning id"


def test_a_report_has_a_reason_and_one_subject_and_is_made_once(town: Community) -> None:
    subject = post(town)
    comment = town.one(COMMENT, subject, None, 0, BUYER)
    report = town.one(REPORT, subject, None, SELLER, "rude")
    town.do(REPORT, None, comment, SELLER, "rude")
    town.refuses(UniqueViolation, REPORT, subject, None, SELLER, "rude")
    town.refuses(UniqueViolation, REPORT, None, comment, SELLER, "rude")
    town.refuses(CheckViolation, REPORT, subject, comment, HELPER, "rude")
    town.refuses(CheckViolation, REPORT, None, None, HELPER, "rude")
    town.refuses(ForeignKeyViolation, REPORT, subject, None, HELPER, "none")
    town.refuses(RESTRICTED, "delete from community.report_reasons where code = 'rude'")
    town.refuses(CheckViolation, "update community.reports set status = 'upheld' where id = %s", report)
    town.refuses(CheckViolation, "update community.reports set resolved_at = now() where id = %s", report)
    town.refuses(CheckViolation, "update community.reports set status = 'lost', resolved_at = now()")
    town.do("update community.reports set status = 'upheld', resolved_at = now() where id = %s", report)


@pytest.mark.parametrize("table", ["licences", "report_reasons"])
def test_words_that_are_looked_up_are_words(town: Community, table: str) -> None:
    add = f"insert into community.{table} (code, name, description) values (%s, %s, '')"
    town.refuses(CheckViolation, add, "With Space", "A")
    town.do(add, "fine", "A")
    town.refuses(UniqueViolation, add, "other", "A")
    town.refuses(UniqueViolation, add, "fine", "B")


def test_attachments_are_files(town: Community) -> None:
    subject = post(town)
    attach = (
        "insert into community.attachments (post_id, position, file_name, media_type, size_bytes, sha256)"
        " values (%s, %s, 'a.jpg', %s, %s, %s)"
    )
    good = (subject, 0, "image/jpeg", 1, "0a" * 32)
    town.do(attach, *good)
    town.refuses(UniqueViolation, attach, *good)
    for place, value in ((1, -1), (2, "jpeg"), (3, -1), (4, "0A" * 32), (4, "0a" * 31)):
        wrong = [subject, 1, *good[2:]]
        wrong[place] = value
        town.refuses(CheckViolation, attach, *wrong)
    town.refuses(ForeignKeyViolation, attach, uid(0xFF), *good[1:])


def test_what_a_person_wrote_stays_when_the_person_goes(town: Community) -> None:
    subject = post(town)
    town.one(COMMENT, subject, None, 0, BUYER)
    town.do(
        "insert into community.reactions (post_id, user_id, kind) values (%s, %s, 'like')", subject, BUYER
    )
    town.do("delete from core.users where id = %s", BUYER)
    assert town.rows("select author_id, reactions, comments from community.visible_posts") == [(None, 0, 1)]
    town.refuses(RESTRICTED, "delete from core.users where id = %s", SELLER)
