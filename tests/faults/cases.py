"""What is broken off: one list. An operation that is exported and has no case here fails a test."""

SHOP = """
create table customers (id int primary key, email text, code varchar(10));
create table orders (
    id int primary key, customer_id int, number text, note text, state varchar(20) default 'new', legacy text,
    constraint ck_number check (number <> ''), constraint uq_note unique (note)
);
create index ix_state on orders (state);
alter table orders add constraint ck_state check (state <> '') not valid;
alter table orders add constraint fk_legacy foreign key (customer_id) references customers;
create table events (id int not null, at int not null, what text) partition by range (at);
create table events_1 partition of events for values from (0) to (10);
create table events_2 partition of events for values from (10) to (20);
create index ix_at on events (at);
create table events_3 (id int not null, at int not null, what text);
create index ix_at_3 on events_3 (at);
create table visits (id int not null, at int not null) partition by range (at);
create table visits_1 partition of visits for values from (0) to (10);
create table visits_0 partition of visits default;
create table visits_2 (id int not null, at int not null);
create view names as select id, email from customers;
insert into customers select g, 'c' || g, 'x' from generate_series(0, 20) g;
insert into orders select g, g, 'n' || g, 'note ' || g, 'new', null from generate_series(1, 20) g;
insert into events select g, g, 'e' from generate_series(0, 19) g;
insert into events_3 select g, g, 'e' from generate_series(20, 29) g;
insert into visits select g, g from generate_series(0, 9) g;
insert into visits_2 select g, g from generate_series(10, 19) g;
"""
"""The database that each one begins with."""

WHOLE = "a whole revision"

CHANGE = 'change = online.TypeChange("orders", "state", sa.Text, up="state::text", down="state::varchar(20)")'

CASES: dict[str, str] = {
    "add_column": """
        online.add_column("orders", sa.Column("paid", sa.Boolean, server_default=sa.false(), nullable=False,
                                              comment="paid?"))
    """,
    "add_column volatile": """
        online.add_column("orders", sa.Column("lot", sa.Integer, server_default=sa.text("floor(random())::int"),
                                              nullable=False, comment="lot?"))
    """,
    "add_column nullable": 'online.add_column("orders", sa.Column("paid_at", sa.DateTime))',
    "alter_column nullable": 'online.alter_column("orders", "number", nullable=False)',
    "alter_column default, comment": 'online.alter_column("orders", "state", server_default="open", comment="how it is")',
    "alter_column type": 'online.alter_column("customers", "code", type_=sa.Text, existing_type=sa.String(10))',
    "alter_column all": """
        online.alter_column("orders", "state", nullable=False, server_default=None, type_=sa.Text,
                            existing_type=sa.String(20), comment="text")
    """,
    "attach_partition": 'online.attach_partition("events", "events_3", "FROM (20) TO (30)")',
    "attach_partition beside a default": 'online.attach_partition("visits", "visits_2", "FROM (10) TO (20)")',
    "backfill": """
        online.backfill("orders", {"legacy": "number || '!'"}, where="id > 2")
    """,
    "backfill keyset": 'online.backfill("orders", {"customer_id": "customer_id - 1"})',
    "backfill of rows that stay to do": """
        online.backfill("orders", {"legacy": "nullif(number, number) || now()"}, where="legacy IS NULL")
    """,
    "backfill partitioned": 'online.backfill("events", {"what": "\'e\' || id::text"}, where="id > 3")',
    "batched_delete": 'online.batched_delete("events", "id % 3 = 0")',
    "batched_insert": 'online.batched_insert("events_3", "select id, id + 30 as at, email as what from customers")',
    "batched_insert without a key": 'online.batched_insert("events_3", "select id, at + 60 as at, what from events")',
    "create_check_constraint": 'online.create_check_constraint("ck_note", "orders", "note like \'note%\'")',
    "create_check_constraint partitioned": 'online.create_check_constraint("ck_id", "events", "id >= 0")',
    "create_foreign_key": """
        online.create_foreign_key("fk_customer", "orders", "customers", ["customer_id"], ["id"], ondelete="CASCADE")
    """,
    "create_foreign_key partitioned": 'online.create_foreign_key("fk_c", "events", "customers", ["id"], ["id"])',
    "create_index": 'online.create_index("ix_customer", "orders", ["customer_id"], postgresql_include=["state"])',
    "create_index unique": 'online.create_index("uq_number", "orders", ["number"], unique=True)',
    "create_index partitioned": 'online.create_index("ix_what", "events", ["what"])',
    "create_unique_constraint": 'online.create_unique_constraint("uq_number", "orders", ["number"], deferrable=True)',
    "create_unique_constraint partitioned": 'online.create_unique_constraint("uq_id", "events", ["id", "at"])',
    "detach_partition": 'online.detach_partition("events", "events_2")',
    "detach_partition beside a default": 'online.detach_partition("visits", "visits_1")',
    "drop_column": 'online.drop_column("orders", "legacy")',
    "drop_constraint check": 'online.drop_constraint("ck_number", "orders", type_="check")',
    "drop_constraint foreign key": 'online.drop_constraint("fk_legacy", "orders", type_="foreignkey")',
    "drop_constraint unique": 'online.drop_constraint("uq_note", "orders", type_="unique")',
    "drop_index": 'online.drop_index("ix_state")',
    "drop_index partitioned": 'online.drop_index("ix_at", table_name="events")',
    "reindex": 'online.reindex("ix_state")',
    "reindex partitioned": 'online.reindex("ix_at")',
    "validate_constraint": 'online.validate_constraint("ck_state", "orders")',
    "TypeChange": f"""
        {CHANGE}
        change.expand(); change.switch(); change.contract()
    """,
    "TypeChange and back": f"""
        {CHANGE}
        change.expand(); change.switch(); change.undo_switch(); change.undo_expand()
    """,
    "TypeChange of a key, and back from the end": """
        change = online.TypeChange("customers", "id", sa.BigInteger, up="id::bigint", down="id::int")
        change.expand(); change.switch(); change.contract()
        change.undo_contract(); change.undo_switch(); change.undo_expand()
    """,
    WHOLE: """
        online.add_column("orders", sa.Column("total", sa.Numeric(10, 2), server_default="0"))
        online.create_check_constraint("ck_total", "orders", "total >= 0")
        online.alter_column("orders", "total", nullable=False)
        online.create_index("ix_total", "orders", ["total"])
        online.drop_index("ix_state")
        online.detach_partition("events", "events_2")
        op.execute("comment on table orders is 'with a total'")
    """,
}  # fmt: skip
"""The body of a revision, by name; the name begins with the operation's."""

NO_OPERATIONS = {"Backfilled", "Done", "pace", "policy", "create_exclude_constraint"}
"""Exported, and nothing that could be broken off: the last one only refuses."""

GOES_ON = {"TypeChange", "backfill", "batched_delete", "batched_insert"}
"""These work, or a part of them does, on connections of their own, and go on when the revision's is lost."""
