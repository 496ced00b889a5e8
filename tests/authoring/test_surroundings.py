"""What is on a column, a table or a key is known from the catalog at head and from what is judged together."""

from __future__ import annotations

import pytest

from diwa_schema.authoring.lint import lint
from diwa_schema.drift.postgresql.types import keeps_rows, same
from tests.run.asking import execute, value

from .drafts import AFTER, ID, judged, rules, up, write

STEP = "transactional = False"
COLUMN = up('op.add_column("memories", sa.Column("mood_id", UniqueId()))')
INDEX = up('steps.create_index_concurrently("memories_mood_id_index", "memories", ["mood_id"])', before=STEP)
KEY = up('steps.add_foreign_key("memories_mood_id_fkey", "memories", ["mood_id"], "contexts")', before=STEP)
NO_INDEX = up('steps.drop_index_concurrently("memories_mood_id_index", "memories")', before=STEP)
CONTRACT = 'phase = "contract"\nfloor = "20990101000000"\n'
SLUG = CONTRACT + up('op.alter_column("organizations", "slug", type_=LongText())')


def sql(text):
    return up(f'op.execute("{text}")')


def together(folder, *codes, after=AFTER):
    """Return what is found in drafts that go on from each other."""
    paths = []
    for number, code in enumerate(codes):
        path = write(folder, code, name=f"{int(ID) + number}_draft.py")
        text = path.read_text().replace(
            f'"{ID}"\ndown_revision = "{AFTER}"', f'"{int(ID) + number}"\ndown_revision = "{after}"'
        )
        path.write_text(text)
        after = int(ID) + number
        paths.append(path)
    # In which order they are named says nothing.
    return rules(lint(paths[::-1]))


@pytest.mark.parametrize(
    ("codes", "found"),
    [
        ([COLUMN, KEY], ["foreign-key-without-index"]),
        ([COLUMN, INDEX, KEY], []),
        ([COLUMN, KEY, INDEX], []),
        ([COLUMN, INDEX, KEY, NO_INDEX], ["foreign-key-without-index"]),
        ([COLUMN, sql("CREATE INDEX CONCURRENTLY i ON memories USING hash (mood_id)"), KEY], ["concurrently-in-transaction"]),
        ([COLUMN, INDEX.replace('"]', '"], postgresql_where=sa.text("mood_id IS NOT NULL")'), KEY], []),
        (
            [COLUMN, INDEX.replace('"]', '"], postgresql_where=sa.text("deleted_at IS NULL")'), KEY],
            ["foreign-key-without-index"],
        ),
        ([COLUMN, INDEX.replace('["mood_id', '["kind", "mood_id'), KEY], ["foreign-key-without-index"]),
        ([COLUMN.replace("UniqueId", "LongText"), INDEX, KEY], ["foreign-key-of-another-type"]),
        # Nobody here knows the column.
        ([KEY], []),
    ],
)  # fmt: skip
def test_an_index_that_a_revision_judged_together_makes_counts(tmp_path, codes, found):
    assert together(tmp_path, *codes) == found


def test_tables_of_another_history_are_not_those_of_this_one(tmp_path):
    key = up(
        'op.create_foreign_key("f", "memories", "contexts", ["remote_id"], ["id"], postgresql_not_valid=True)'
    )
    assert rules(judged(tmp_path, key)) == ["foreign-key-without-index"]
    assert together(tmp_path, key, after="20250601000000") == []
    assert together(tmp_path, SLUG, after="20250601000000") == ["retype-rewrites"]
    made = 'op.create_table("{}", sa.Column("id", UniqueId()), sa.Column("of", UniqueId()), sa.PrimaryKeyConstraint("id"))'
    tables = up(made.format("memories"), made.format("contexts"))
    key = key.replace("remote_id", "of")
    assert together(tmp_path, tables, key, after="20250601000000") == ["foreign-key-without-index"]


@pytest.mark.parametrize(
    "dropped",
    [
        up('steps.drop_constraint("organizations_slug_check", "organizations", "check")', before=STEP),
        up('op.drop_constraint("organizations_slug_check", "organizations", type_="check")'),
        sql("ALTER TABLE organizations DROP CONSTRAINT organizations_slug_check"),
    ],
)
def test_a_check_that_is_gone_before_the_type_changes_reads_no_row(tmp_path, dropped):
    again = up('steps.add_check("organizations_slug_check", "organizations", "slug <> \'\'")', before=STEP)
    assert together(tmp_path, SLUG) == ["retype-checks-rows"]
    assert together(tmp_path, dropped, SLUG, again) == []
    assert together(tmp_path, dropped, again, SLUG) == ["retype-checks-rows"]


def test_a_type_that_is_written_as_text_is_judged_with_what_stands_on_the_column(tmp_path):
    text = sql("ALTER TABLE organizations ALTER COLUMN slug SET DATA TYPE text")
    assert together(tmp_path, text) == ["changes-result-type", "retype-checks-rows"]
    # Rows that are all written anew are read for that, which is said already.
    assert together(tmp_path, CONTRACT + text.replace("text", "uuid USING slug::uuid")) == ["retype-rewrites"]


@pytest.mark.parametrize(
    "drop",
    [
        up('steps.drop_index_concurrently("plans_goal_index", "plans")', before=STEP),
        sql("ALTER TABLE plans DROP CONSTRAINT plans_goal_index"),
    ],
)
def test_the_index_of_a_replica_identity_stays(tmp_path, drop):
    reason = 'lint_ignore = {"changes-replica-identity": "the subscriber has no other key"}'
    use = sql("ALTER TABLE plans REPLICA IDENTITY USING INDEX plans_goal_index")
    back = sql("ALTER TABLE plans REPLICA IDENTITY DEFAULT")
    assert together(tmp_path, reason + use, drop) == ["drops-replica-identity"]
    assert together(tmp_path, reason + use, back, drop) == []
    at_once = "ALTER TABLE plans REPLICA IDENTITY DEFAULT; DROP INDEX plans_goal_index"
    assert together(tmp_path, reason + use, sql(at_once)) == ["index-drop-blocks"]
    assert together(tmp_path, drop) == []


def test_another_primary_key_in_the_same_statement_keeps_the_identity(tmp_path):
    swap = "ALTER TABLE memories DROP CONSTRAINT memories_pkey, ADD CONSTRAINT memories_pkey PRIMARY KEY USING INDEX i"
    assert together(tmp_path, sql(swap)) == []
    assert together(tmp_path, sql(swap.partition(",")[0])) == ["drops-primary-key"]


@pytest.mark.parametrize(
    "call",
    [
        'op.create_table("moods", sa.Column("id", UniqueId()), sa.ForeignKeyConstraint(["no"], ["contexts.id"]))',
        'op.create_table("moods", sa.Column("id", UniqueId()), sa.Column("id", UniqueId()), sa.ForeignKey("x"))',
        'op.alter_column("tasks", "title", type_="text")',
        'op.create_foreign_key("f", "tasks", "contexts", None, None)',
        'op.create_index("i", "tasks", [None])',
        'op.add_column("tasks", sa.Column("mood_id", UniqueId(), sa.ForeignKey("contexts")))',
        'op.drop_constraint(None, "tasks", type_="primary")',
    ],
)
def test_an_operation_that_means_nothing_is_a_finding_and_no_bug(tmp_path, call):
    assert "cannot-be-printed" in together(tmp_path, up(call), KEY)


TYPES = [
    ("varchar(20)", "varchar(30)", True),
    ("varchar(20)", "varchar(10)", False),
    ("varchar(20)", "varchar", True),
    ("varchar(20)", "TEXT", True),
    ("text", "varchar", False),
    ("numeric(10, 2)", "NUMERIC(12, 2)", True),
    ("numeric(10, 2)", "numeric(12, 3)", False),
    ("numeric(10, 2)", "numeric", True),
    ("timestamp(0) without time zone", "TIMESTAMP(3) WITHOUT TIME ZONE", True),
    ("timestamp(0)", "timestamp", True),
    ("timestamp without time zone", "timestamp(6)", True),
    ("timestamp", "timestamp(0)", False),
    ("timestamp", "timestamptz", False),
    ("cidr", "inet", True),
    ("integer", "bigint", False),
    ("uuid", "text", False),
    ("varchar(20)[]", "varchar(30)[]", False),
]


@pytest.mark.parametrize(("before", "after", "kept"), TYPES)
def test_what_keeps_the_rows_writes_no_table_anew_on_a_server(postgres, before, after, kept):
    assert keeps_rows(before, after) == kept
    execute(postgres, f"CREATE TABLE tried (it {before}); INSERT INTO tried VALUES (NULL)")
    node = "SELECT pg_relation_filenode('tried')"
    was = value(postgres, node)
    execute(postgres, f"ALTER TABLE tried ALTER it TYPE {after} USING it::{after}")
    assert not kept or value(postgres, node) == was


def test_types_are_the_same_whatever_their_spelling():
    assert same("character varying(255)", "TEXT")
    assert same("BIGINT", "int8")
    assert same("TIMESTAMP WITHOUT TIME ZONE", "timestamp(0) without time zone")
    assert not same("integer", "bigint")
    assert not same("uuid", "text")
    assert not same("uuid[]", "uuid")


def test_a_server_reads_the_rows_for_a_check_and_builds_an_index_with_a_condition_anew(postgres):
    execute(
        postgres,
        """CREATE TABLE tried (bare varchar(9), checked varchar(9) CONSTRAINT c CHECK (checked <> ''), kept varchar(9));
        INSERT INTO tried SELECT 'a', 'a', 'a' FROM generate_series(1, 100);
        CREATE INDEX plain ON tried (bare); CREATE INDEX chosen ON tried (kept) WHERE kept <> 'b'""",
    )
    # A row that got past the check shows whether it is tried again.
    execute(
        postgres,
        """ALTER TABLE tried DROP CONSTRAINT c; UPDATE tried SET checked = '';
        ALTER TABLE tried ADD CONSTRAINT c CHECK (checked <> '') NOT VALID;
        UPDATE pg_constraint SET convalidated = true WHERE conname = 'c'""",
    )
    nodes = "SELECT pg_relation_filenode('plain') || ' ' || pg_relation_filenode('chosen')"
    before = value(postgres, nodes).split()
    execute(postgres, "ALTER TABLE tried ALTER bare TYPE text, ALTER kept TYPE text")
    after = value(postgres, nodes).split()
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    with pytest.raises(Exception, match='constraint "c"'):
        execute(postgres, "ALTER TABLE tried ALTER checked TYPE text")
