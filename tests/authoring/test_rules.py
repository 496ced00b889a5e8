"""For each rule: a revision that breaks it is flagged with that rule and no other, and its safe form, pasted, passes."""

from __future__ import annotations

import pytest

from diwa_schema.authoring.lint import ENGINES
from diwa_schema.authoring.rule import NEXT, RULES
from diwa_schema.authoring.rules import observed

from .drafts import AFTER, ID, judged, rules, up

NOT_TRANSACTIONAL = "transactional = False"
INDEX = 'steps.create_index_concurrently("memories_kind_index", "memories", ["kind"])'
ADD = 'op.add_column("memories", sa.Column("mood", LongText()))'
SLUG = 'op.alter_column("organizations", "slug", type_=LongText())'
NUMBERED = 'op.create_table("moods", sa.Column("id", sa.BigInteger()), sa.PrimaryKeyConstraint("id"))'
OF_MOODS = (
    'op.create_table("feelings", sa.Column("id", UniqueId()), sa.PrimaryKeyConstraint("id"),'
    ' sa.Column("mood_id", {}, index={}), sa.ForeignKeyConstraint(["mood_id"], ["moods.id"]))'
)
KEY = 'op.create_foreign_key("{0}", "memories", "contexts", ["{0}"], ["id"]{1})'
NEW = 'op.create_table("moods", sa.Column("id", UniqueId()), sa.Column("kind", {}), sa.PrimaryKeyConstraint("id"))'


def add(column: str) -> str:
    return up(f'op.add_column("memories", sa.Column("mood", {column}))')


def alter(change: str) -> str:
    return up(f'op.alter_column("memories", "mood", {change})')


def sql(text: str) -> str:
    return up(f'op.execute("{text}")')


def breaking(code: str) -> str:
    return f'phase = "contract"\nfloor = "{ID}"\n{code}'


BREAKING = [
    ("index-blocks-writes", up('op.create_index("i", "memories", ["kind"])')),
    ("index-blocks-writes", up('op.create_index("i", "memories", ["kind"], unique=True)')),
    ("index-blocks-writes", up('op.create_index("i", "memories", [sa.text("lower(kind)")])')),
    ("index-blocks-writes", sql("CREATE INDEX i ON memories (kind)")),
    ("index-drop-blocks", up('op.drop_index("i", "memories")')),
    (
        "index-blocks-writes",
        up('with op.batch_alter_table("memories") as batch:', '    batch.create_index("i", ["kind"])'),
    ),
    ("index-drop-blocks", sql("DROP INDEX i")),
    (
        "concurrently-in-transaction",
        up('op.create_index("i", "memories", ["kind"], postgresql_concurrently=True)'),
    ),
    ("concurrently-in-transaction", sql("CREATE INDEX CONCURRENTLY i ON memories (kind)")),
    ("reindex-blocks", sql("REINDEX TABLE memories")),
    ("hash-index", up('op.create_index("i", "memories", ["kind"], postgresql_using="hash")')),
    ("wide-index", up('op.create_index("i", "memories", ["a", "b", "c", "d"])')),
    ("foreign-key-checks-rows", up(KEY.format("a_id", ""))),
    (
        "foreign-key-checks-rows",
        up('op.add_column("memories", sa.Column("parent_id", UniqueId(), sa.ForeignKey("contexts.id")))'),
    ),
    (
        "foreign-key-checks-rows",
        sql("ALTER TABLE memories ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES contexts (id)"),
    ),
    (
        "several-foreign-keys",
        up(*(KEY.format(name, ", postgresql_not_valid=True") for name in ("a_id", "b_id"))),
    ),
    (
        "several-foreign-keys",
        up(
            *(
                f'steps.add_reference("memories", "{name}", UniqueId(), "contexts", ondelete="CASCADE")'
                for name in ("parent_id", "context_id")
            )
        ),
    ),
    ("check-reads-rows", up('op.create_check_constraint("c", "memories", "kind <> \'\'")')),
    ("check-reads-rows", sql("ALTER TABLE memories ADD CONSTRAINT c CHECK (kind <> '')")),
    (
        "validates-in-transaction",
        up(
            'op.create_check_constraint("c", "memories", "kind <> \'\'", postgresql_not_valid=True)',
            'op.execute("ALTER TABLE memories VALIDATE CONSTRAINT c")',
        ),
    ),
    ("unique-builds-index", up('op.create_unique_constraint("u", "memories", ["kind"])')),
    ("unique-builds-index", add("ShortText(), unique=True")),
    ("primary-key-builds-index", up('op.create_primary_key("p", "memories", ["kind"])')),
    ("primary-key-builds-index", add("sa.BigInteger(), primary_key=True")),
    ("exclude-reads-rows", up('op.create_exclude_constraint("x", "memories", ("kind", "="))')),
    ("drops-foreign-key", up('op.drop_constraint("f", "memories", type_="foreignkey")')),
    ("not-null-reads-rows", alter("nullable=False")),
    ("not-null-reads-rows", sql("ALTER TABLE memories ALTER COLUMN mood SET NOT NULL")),
    ("required-column", add("ShortText(), nullable=False")),
    ("required-column", add("Count(), nullable=False")),
    ("required-column", add("Timestamp(0), nullable=False")),
    ("required-column", sql("ALTER TABLE memories ADD COLUMN mood text NOT NULL")),
    ("default-rewrites", add('UniqueId(), server_default=sa.text("gen_random_uuid()")')),
    ("default-rewrites", add("sa.Float(), server_default=sa.func.random()")),
    ("generated-column-rewrites", add('LongText(), sa.Computed("lower(kind)", persisted=True)')),
    ("changes-result-type", alter("type_=ShortText(20)")),
    ("changes-result-type", alter("type_=Timestamp(6)")),
    ("changes-result-type", sql("ALTER TABLE memories ALTER COLUMN mood TYPE uuid USING mood::uuid")),
    (
        "changes-result-type",
        up(
            'steps.retype_embedding("memories", to="vector")',
            before=f'{NOT_TRANSACTIONAL}\nretypes = ("memories.embedding",)',
        ),
    ),
    ("retype-rewrites", breaking(alter("type_=sa.BigInteger()"))),
    ("renames-column", alter('new_column_name="feeling"')),
    ("drops-column", up('op.drop_column("memories", "mood")')),
    ("drops-column", sql("ALTER TABLE memories DROP COLUMN mood")),
    ("drops-not-null", alter("nullable=True")),
    ("json-type", add("sa.JSON()")),
    ("json-type", up(NEW.format("postgresql.JSON()"))),
    ("char-type", add("sa.CHAR(3)")),
    ("enum-type", add('sa.Enum("happy", "calm", name="mood")')),
    (
        "short-key",
        up(
            'op.create_table("moods", sa.Column("id", sa.Integer()), sa.PrimaryKeyConstraint("id", name="moods_pkey"))'
        ),
    ),
    ("short-key", up('op.create_table("moods", sa.Column("id", sa.Integer(), primary_key=True))')),
    ("drops-table", up('op.drop_table("memories")')),
    ("drops-table", up('steps.drop_table_unless_filled("memories")')),
    ("drops-table", sql("DROP TABLE memories")),
    ("renames-table", up('op.rename_table("memories", "thoughts")')),
    ("locks-several-tables", up(ADD, ADD.replace("memories", "plans"))),
    ("table-without-key", up('op.create_table("moods", sa.Column("kind", LongText()))')),
    ("identifier-too-long", up(f'op.add_column("memories", sa.Column("{"mood" * 16}", LongText()))')),
    ("names-a-schema", up('op.add_column("memories", sa.Column("mood", LongText()), schema="public")')),
    ("rows-written-in-transaction", sql("UPDATE memories SET mood = 'calm'")),
    (
        "rows-written-in-transaction",
        sql("COMMENT ON TABLE memories IS 'a'; UPDATE memories SET mood = 'calm';"),
    ),
    ("rows-written-in-transaction", sql("-- why\\nDELETE FROM memories")),
    (
        "rows-written-in-transaction",
        up('op.execute(sa.table("memories", sa.column("mood", sa.Text())).update().values(mood="calm"))'),
    ),
    (
        "rows-written-in-transaction",
        up('op.bulk_insert(sa.table("memories", sa.column("mood", sa.Text())), [{"mood": "calm"}])'),
    ),
    ("rows-written-in-transaction", up('op.get_bind().execute(sa.text("DELETE FROM memories"))')),
    ("ends-transaction", sql("COMMIT")),
    ("ends-transaction", up("with op.get_context().autocommit_block():", "    pass")),
    ("sets-timeouts", sql("SET lock_timeout = 0")),
    ("sql-not-seen", sql("DO $do$ BEGIN NULL; END $do$")),
    ("changes-rights", sql("GRANT SELECT ON memories TO PUBLIC")),
    ("changes-extension", sql("ALTER EXTENSION vector UPDATE")),
    ("rewrites-table", sql("ALTER TABLE memories SET TABLESPACE slow")),
    ("rewrites-table", sql("VACUUM FULL memories")),
    ("detach-blocks", sql("ALTER TABLE memories DETACH PARTITION memories_2025")),
    ("retype-checks-rows", breaking(up(SLUG))),
    ("retype-builds-index", breaking(up('op.alter_column("sync_queue", "status", type_=LongText())'))),
    ("drops-primary-key", up('op.drop_constraint("memories_pkey", "memories", type_="primary")')),
    ("drops-primary-key", sql("ALTER TABLE memories DROP CONSTRAINT memories_pkey")),
    (
        "foreign-key-without-index",
        up('steps.add_reference("memories", "mood_id", UniqueId(), "contexts", ondelete="CASCADE")'),
    ),
    ("foreign-key-without-index", up(KEY.format("remote_id", ", postgresql_not_valid=True"))),
    (
        "foreign-key-without-index",
        sql(
            "ALTER TABLE memories ADD CONSTRAINT f FOREIGN KEY (remote_id) REFERENCES contexts (id) NOT VALID"
        ),
    ),
    ("foreign-key-without-index", up(NUMBERED, OF_MOODS.format("sa.BigInteger()", "False"))),
    ("foreign-key-of-another-type", up(NUMBERED, OF_MOODS.format("sa.Integer()", "True"))),
    (
        "foreign-key-of-another-type",
        sql(
            "ALTER TABLE tasks ADD CONSTRAINT f FOREIGN KEY (context_id) REFERENCES contexts (name) NOT VALID"
        ),
    ),
    ("changes-replica-identity", sql("ALTER TABLE memories REPLICA IDENTITY FULL")),
    ("changes-replica-identity", sql("ALTER TABLE memories REPLICA IDENTITY NOTHING")),
    ("changes-replica-identity", sql("ALTER TABLE memories REPLICA  IDENTITY USING INDEX memories_pkey")),
    ("domain-with-constraint", sql("CREATE DOMAIN mood AS text CHECK (VALUE <> '')")),
    ("enum-value-order", sql("ALTER TYPE mood ADD VALUE 'calm'")),
    ("syntax-error", sql("ALTER TABEL memories ADD mood text")),
    ("truncates", sql("TRUNCATE memories CASCADE")),
    ("phase-missing", f"# no phase = here\n{up(ADD)}"),
    ("floor-missing", f'phase = "contract"\nfloor = None\n{up(ADD)}'),
    ("step-in-transaction", up(INDEX)),
    (
        "step-in-transaction",
        f'{up(ADD)}\n\n\ndef downgrade() -> None:\n    steps.drop_index_concurrently("i", "memories")',
    ),
    ("no-step", up(ADD, before=NOT_TRANSACTIONAL)),
    ("several-steps", up(INDEX, INDEX.replace("kind", "status"), before=NOT_TRANSACTIONAL)),
    ("statement-beside-step", up(ADD, INDEX, before=NOT_TRANSACTIONAL)),
    ("id-out-of-order", up(ADD, before='revision = "20260101000000"')),
    ("id-out-of-order", up(ADD, before='revision = "20991301000000"')),
    ("cannot-be-printed", up('op.get_bind().scalar(sa.text("SELECT 1"))')),
    ("unknown-rule", up(ADD, before='lint_ignore = {"index-blocks-reads": "small"}')),
    ("unused-ignore", up(ADD, before='lint_ignore = {"index-blocks-writes": "small"}')),
    ("ignore-without-reason", up(ADD, before='lint_ignore = {"index-blocks-writes": ""}')),
]


@pytest.mark.parametrize(("rule", "code"), BREAKING)
def test_what_breaks_a_rule_is_flagged_with_it_alone_and_its_safe_form_passes(tmp_path, rule, code):
    review = judged(tmp_path, code)
    assert rules(review) == [rule]
    (finding,) = review.findings
    assert finding.why.endswith(".")
    for number, safe in enumerate(finding.instead.split(NEXT)):
        folder = tmp_path / str(number)
        folder.mkdir()
        wanted = f"{safe}\n" if "def upgrade" in safe else f"{safe}\n{up(ADD)}"
        if rule == "ignore-without-reason":
            wanted = up('op.create_index("i", "memories", ["kind"])', before=safe)
        assert rules(judged(folder, wanted)) == [] or rule == "unknown-rule", safe


def test_two_ends_of_one_history_are_found(tmp_path):
    (tmp_path / "20980101000000_other.py").write_text(
        f'revision = "20980101000000"\ndown_revision = "{AFTER}"\n'
    )
    assert rules(judged(tmp_path, up(ADD))) == ["two-heads"]


def test_a_merge_is_two_ends_and_a_declaration_with_a_type_is_one(tmp_path):
    assert rules(
        judged(tmp_path, up(ADD, before='down_revision = ("20250101000000", "20250102000000")'))
    ) == ["two-heads"]
    (tmp_path / "20980101000000_other.py").write_text(
        f'down_revision: str | None = "{AFTER}"\nrevision: str = "20980101000000"\n'
    )
    assert rules(judged(tmp_path, up(ADD))) == ["two-heads"]


def test_each_statement_of_a_loop_is_judged(tmp_path):
    loop = up('for table in ("memories", "plans"):', '    op.execute(f"CREATE INDEX ON {table} (kind)")')
    assert [one.table for one in judged(tmp_path, loop).findings] == ["memories", "plans"]


def test_every_rule_has_a_revision_that_breaks_it():
    assert {rule for rule, _ in BREAKING} | {"two-heads", "drops-replica-identity", *observed.IDS} == set(
        RULES
    ) - ENGINES["citus"]


@pytest.mark.parametrize(
    "code",
    [
        up('op.create_table("moods", sa.Column("id", UniqueId(), nullable=False), sa.PrimaryKeyConstraint("id"))',
           'op.create_index("i", "moods", ["id"])',
           'op.create_foreign_key("f", "moods", "contexts", ["id"], ["id"])',
           'op.alter_column("moods", "id", nullable=False)',
           'op.execute("INSERT INTO moods SELECT id FROM contexts")'),
        add('Flag(), server_default=sa.text("false"), nullable=False'),
        add('ShortText(), server_default="it\'s", nullable=False'),
        add('Timestamp(0), server_default=sa.text("now()"), nullable=False'),
        up('steps.add_reference("memories", "parent_id", UniqueId(), "contexts", ondelete="CASCADE")'),
        up(KEY.format("a_id", ", postgresql_not_valid=True")),
        up(NUMBERED, OF_MOODS.format("sa.BigInteger()", "True")),
        breaking(up('op.alter_column("organizations", "name", type_=LongText())')),
        sql("ALTER TABLE memories REPLICA IDENTITY DEFAULT"),
        breaking(up('op.drop_table("memories")')),
        breaking(up('op.drop_column("memories", "mood")')),
        breaking(alter('new_column_name="feeling"')),
        breaking(sql("DROP TABLE memories")),
        f'{up(ADD)}\n\n\ndef downgrade() -> None:\n    op.drop_column("memories", "mood")',
        up("pass"),
    ],
)  # fmt: skip
def test_what_nobody_waits_for_passes(tmp_path, code):
    assert rules(judged(tmp_path, code)) == []
