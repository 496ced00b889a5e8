"""Changes that a live schema may have met with, each with what is said of it.

A line is the change and the words for it, so it is as long as it is.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Drift:
    """A change, what is said of it, and whether a live table can take what is offered.

    What is offered are statements, statements that lose values, or nothing where the schema has no such kind of thing.
    """

    sql: str
    text: str
    safe: bool = True
    severity: str = "drift"
    offered: str = "statements"
    since: int = 15


DRIFTS = (
    # columns
    Drift(
        "ALTER TABLE animals ADD age int",
        "column age is not part of the schema on animals",
        safe=False,
        offered="losing",
    ),
    Drift("ALTER TABLE animals DROP COLUMN seen_at", "column seen_at is missing on animals"),
    Drift(
        "ALTER TABLE animals RENAME COLUMN seen_at TO last_seen",
        "column seen_at is named last_seen on animals",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals RENAME COLUMN keeper_id TO boss_id",
        "column keeper_id is named boss_id on animals",
        safe=False,
    ),
    Drift(
        "ALTER TABLE keepers ALTER email TYPE varchar(100)",
        "column email on keepers is character varying(100), should be character varying(255)",
    ),
    Drift(
        "ALTER TABLE keepers ALTER email TYPE text",
        "column email on keepers is text, should be character varying(255)",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals ALTER seen_at TYPE timestamp(0)",
        "column seen_at on animals is timestamp(0) without time zone, should be timestamp without time zone",
    ),
    Drift(
        "ALTER TABLE animals ALTER born_at TYPE timestamptz",
        "column born_at on animals is timestamp with time zone, should be timestamp(0) without time zone",
        safe=False,
    ),
    Drift(
        'ALTER TABLE animals ALTER "position" TYPE bigint',
        "column position on animals is bigint, should be integer",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals ALTER tags DROP DEFAULT, ALTER tags TYPE text USING tags::text",
        "column tags on animals is text, should be character varying(255)[] default ARRAY[]::character varying[]",
        safe=False,
    ),
    Drift(
        'ALTER TABLE animals ALTER nickname TYPE varchar(255) COLLATE "default"',
        "column nickname on animals is character varying(255), should be character varying(255) collate C",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals ALTER name DROP NOT NULL",
        "column name on animals is character varying(255) default 'nobody'::character varying, should be character varying(255) not null default 'nobody'::character varying",
    ),
    Drift(
        "ALTER TABLE animals ALTER born_at SET NOT NULL",
        "column born_at on animals is timestamp(0) without time zone not null, should be timestamp(0) without time zone",
    ),
    Drift(
        "ALTER TABLE animals ALTER name DROP DEFAULT",
        "column name on animals is character varying(255) not null, should be character varying(255) not null default 'nobody'::character varying",
    ),
    Drift(
        "ALTER TABLE animals ALTER status SET DEFAULT 'completed'",
        "column status on animals is character varying(255) default 'completed'::character varying, should be character varying(255) default 'pending'::character varying",
    ),
    Drift(
        "ALTER TABLE keepers ALTER id DROP DEFAULT",
        "column id on keepers is uuid not null, should be uuid not null default gen_random_uuid()",
    ),
    Drift(
        "ALTER TABLE animals ALTER shout DROP EXPRESSION",
        "column shout on animals is text, should be text GENERATED ALWAYS AS (upper((name)::text)) STORED",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals ALTER shout SET EXPRESSION AS (lower(name))",
        "column shout on animals is text GENERATED ALWAYS AS (lower((name)::text)) STORED, should be text GENERATED ALWAYS AS (upper((name)::text)) STORED",
        since=17,
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals ALTER name DROP NOT NULL;"
        "ALTER TABLE animals ADD CONSTRAINT named NOT NULL name NOT VALID",
        "column name on animals is character varying(255) default 'nobody'::character varying,"
        " should be character varying(255) not null default 'nobody'::character varying",
        since=18,
    ),
    # keys
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_pkey", "primary key animals_pkey is missing on animals"
    ),
    Drift(
        "ALTER TABLE animals RENAME CONSTRAINT animals_pkey TO animals_key",
        "primary key animals_pkey is named animals_key on animals",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_pkey, ADD CONSTRAINT animals_pkey PRIMARY KEY (id, name)",
        "primary key animals_pkey on animals is (id, name), should be (id)",
    ),
    Drift(
        "ALTER TABLE keepers DROP CONSTRAINT keepers_email_key",
        "unique constraint keepers_email_key is missing on keepers",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE keepers ADD CONSTRAINT keepers_name_key UNIQUE (name)",
        "unique constraint keepers_name_key is not part of the schema on keepers",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_name_born_at_key, ADD CONSTRAINT animals_name_born_at_key UNIQUE (name, born_at)",
        "unique constraint animals_name_born_at_key on animals is UNIQUE (name, born_at), should be UNIQUE (name, born_at) DEFERRABLE INITIALLY DEFERRED",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_keeper_id_fkey",
        "foreign key animals_keeper_id_fkey is missing on animals",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_keeper_id_fkey, ADD CONSTRAINT animals_keeper_id_fkey FOREIGN KEY (keeper_id) REFERENCES keepers ON DELETE CASCADE NOT VALID",
        "foreign key animals_keeper_id_fkey on animals is (keeper_id) references keepers (id) on delete cascade not validated, should be (keeper_id) references keepers (id) on delete cascade",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_keeper_id_fkey, ADD CONSTRAINT animals_keeper_id_fkey FOREIGN KEY (keeper_id) REFERENCES keepers ON DELETE SET NULL ON UPDATE CASCADE",
        "foreign key animals_keeper_id_fkey on animals is (keeper_id) references keepers (id) on update cascade on delete set null, should be (keeper_id) references keepers (id) on delete cascade",
    ),
    Drift(
        "ALTER TABLE animals ALTER CONSTRAINT animals_keeper_id_fkey DEFERRABLE",
        "foreign key animals_keeper_id_fkey on animals is (keeper_id) references keepers (id) on delete cascade deferrable, should be (keeper_id) references keepers (id) on delete cascade",
    ),
    Drift(
        "ALTER TABLE animals ALTER CONSTRAINT animals_keeper_id_fkey NOT ENFORCED",
        "foreign key animals_keeper_id_fkey on animals is (keeper_id) references keepers (id) on delete cascade not enforced, should be (keeper_id) references keepers (id) on delete cascade",
        since=18,
    ),
    Drift(
        "ALTER TABLE animals ADD CONSTRAINT animals_friend FOREIGN KEY (keeper_id) REFERENCES keepers",
        "foreign key animals_friend is not part of the schema on animals",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_weight_check",
        "check animals_weight_check is missing on animals",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_weight_check, ADD CONSTRAINT animals_weight_check CHECK (weight > 0) NOT VALID",
        "check animals_weight_check on animals is CHECK ((weight > (0)::double precision)) NOT VALID, should be CHECK ((weight > (0)::double precision))",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_weight_check, ADD CONSTRAINT animals_weight_check CHECK (weight > 1)",
        "check animals_weight_check on animals is CHECK ((weight > (1)::double precision)), should be CHECK ((weight > (0)::double precision))",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_status_check, ADD CONSTRAINT animals_status_check CHECK (status IN ('pending', 'completed', 'lost'))",
        "check animals_status_check on animals is CHECK (((status)::text = ANY (ARRAY['pending'::text, 'completed'::text, 'lost'::text]))), should be CHECK (((status)::text = ANY (ARRAY['pending'::text, 'completed'::text])))",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER TABLE animals ADD CONSTRAINT animals_small CHECK (weight < 1000)",
        "check animals_small is not part of the schema on animals",
        safe=False,
    ),
    Drift(
        "ALTER TABLE animals DROP CONSTRAINT animals_position_excl",
        "exclusion constraint animals_position_excl is missing on animals",
        safe=False,
        offered="",
    ),
    # indexes
    Drift("DROP INDEX animals_status_index", "index animals_status_index is missing on animals"),
    Drift(
        "ALTER INDEX animals_status_index RENAME TO idx1",
        "index animals_status_index is named idx1 on animals",
    ),
    Drift(
        "DROP INDEX animals_status_index; CREATE INDEX animals_status_index ON animals USING hash (status)",
        "index animals_status_index on animals is using hash (status), should be (status)",
    ),
    Drift(
        'DROP INDEX animals_live_index; CREATE INDEX animals_live_index ON animals (keeper_id, "position" DESC)',
        "index animals_live_index on animals is (keeper_id, position DESC), should be (keeper_id, position DESC) where (status)::text = ANY (ARRAY['pending'::text, 'busy'::text])",
    ),
    Drift(
        "DROP INDEX animals_lower_name_index; CREATE INDEX animals_lower_name_index ON animals (lower(name))",
        "index animals_lower_name_index on animals is (lower((name)::text)), should be (lower((name)::text) text_pattern_ops) include (weight)",
    ),
    Drift(
        "ALTER INDEX animals_notes_index RESET (fastupdate)",
        "index animals_notes_index on animals is using gin (notes), should be using gin (notes) with (fastupdate=off)",
    ),
    Drift(
        "DROP INDEX animals_nickname_index; CREATE UNIQUE INDEX animals_nickname_index ON animals (nickname)",
        "index animals_nickname_index on animals is unique (nickname), should be unique (nickname) nulls not distinct",
    ),
    Drift(
        "DROP INDEX animals_nickname_index; ALTER TABLE animals ADD CONSTRAINT animals_nickname_index UNIQUE NULLS NOT DISTINCT (nickname); ALTER TABLE animals DROP CONSTRAINT animals_nickname_index",
        "index animals_nickname_index is missing on animals",
    ),
    Drift(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'animals_status_index'::regclass",
        "index animals_status_index is INVALID on animals: a concurrent build did not finish",
    ),
    Drift(
        "CREATE UNIQUE INDEX animals_unique ON animals (id, name)",
        "index animals_unique is not part of the schema on animals",
        safe=False,
    ),
    Drift(
        "CREATE INDEX animals_weight ON animals (weight)",
        "index animals_weight is not part of the schema on animals",
        safe=False,
        severity="note",
    ),
    Drift(
        "CREATE INDEX leftover ON animals (weight);UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'leftover'::regclass",
        "index leftover is not part of the schema on animals and is INVALID",
        severity="note",
    ),
    # triggers
    Drift("DROP TRIGGER animals_touch ON animals", "trigger animals_touch is missing on animals"),
    Drift(
        "ALTER TRIGGER animals_touch ON animals RENAME TO touched",
        "trigger animals_touch is named touched on animals",
    ),
    Drift(
        "ALTER TABLE animals DISABLE TRIGGER animals_touch",
        "trigger animals_touch is disabled on animals, should be enabled",
    ),
    Drift(
        "ALTER TABLE animals ENABLE REPLICA TRIGGER animals_touch",
        "trigger animals_touch is replica on animals, should be enabled",
    ),
    Drift(
        "CREATE OR REPLACE TRIGGER animals_touch BEFORE INSERT ON animals FOR EACH ROW EXECUTE FUNCTION touch();ALTER TABLE animals DISABLE TRIGGER animals_touch",
        "trigger animals_touch on animals is BEFORE INSERT FOR EACH ROW EXECUTE FUNCTION touch() (disabled), should be BEFORE INSERT OR UPDATE OF name, status FOR EACH ROW WHEN (new.name::text <> ''::text) EXECUTE FUNCTION touch()",
    ),
    Drift(
        "DROP TRIGGER animals_watch ON animals; CREATE CONSTRAINT TRIGGER animals_watch AFTER UPDATE ON animals FOR EACH ROW EXECUTE FUNCTION touch()",
        "trigger animals_watch on animals is constraint AFTER UPDATE NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION touch(), should be constraint AFTER UPDATE DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch()",
    ),
    Drift(
        "CREATE TRIGGER spy AFTER DELETE ON animals FOR EACH ROW EXECUTE FUNCTION touch()",
        "trigger spy is not part of the schema on animals",
        safe=False,
    ),
    # row security
    Drift(
        "ALTER TABLE keepers DISABLE ROW LEVEL SECURITY",
        "row security of table keepers is off, should be on",
        safe=False,
    ),
    Drift(
        "ALTER TABLE keepers FORCE ROW LEVEL SECURITY",
        "row security of table keepers is forced, should be on",
        safe=False,
    ),
    Drift(
        "DROP POLICY keepers_seen ON keepers",
        "policy keepers_seen is missing on keepers",
        safe=False,
        offered="",
    ),
    Drift(
        "ALTER POLICY keepers_seen ON keepers USING (true)",
        "policy keepers_seen on keepers is for select using (true), should be for select using (((name)::text <> 'hidden'::text))",
        safe=False,
        offered="",
    ),
    Drift(
        "CREATE POLICY all_seen ON keepers USING (true)",
        "policy all_seen is not part of the schema on keepers",
        safe=False,
    ),
    # the table itself
    Drift("ALTER TABLE animals SET UNLOGGED", "table animals is unlogged, should be permanent", safe=False),
    Drift(
        "ALTER TABLE animals REPLICA IDENTITY FULL",
        "replica identity of table animals is FULL, should be DEFAULT",
    ),
    Drift(
        "ALTER TABLE animals OWNER TO pg_monitor",
        "table animals is owned by pg_monitor, not by the owner of the version table",
    ),
)


def rewritten(table: str, old: str, new: str) -> str:
    """SQL that gives a SQLite table another text, as if it had been created so."""
    old, new = old.replace("'", "''"), new.replace("'", "''")
    return (
        "PRAGMA writable_schema = ON;"
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE name = '{table}';"
        "PRAGMA writable_schema = RESET"
    )


DRIFTS_SQLITE = (
    Drift(
        "ALTER TABLE animals ADD COLUMN age INTEGER",
        "column age is not part of the schema on animals",
        safe=False,
        offered="losing",
    ),
    Drift("ALTER TABLE animals DROP COLUMN tags", "column tags is missing on animals"),
    Drift("ALTER TABLE animals DROP COLUMN seen_at", "column seen_at is missing on animals"),
    Drift(
        "ALTER TABLE animals RENAME COLUMN tags TO labels",
        "column tags is named labels on animals",
        safe=False,
    ),
    Drift(
        rewritten("animals", "partner_id INTEGER", "partner_id TEXT"),
        "column partner_id on animals is TEXT, should be INTEGER",
    ),
    Drift(
        rewritten("animals", "DEFAULT 'nobody' NOT NULL COLLATE", "DEFAULT 'nobody' COLLATE"),
        "column name on animals is TEXT collate NOCASE default 'nobody',"
        " should be TEXT collate NOCASE not null default 'nobody'",
    ),
    Drift(
        rewritten("animals", "DEFAULT ('pending')", "DEFAULT 'completed'"),
        "column status on animals is TEXT default 'completed', should be TEXT default 'pending'",
    ),
    Drift(
        rewritten("animals", " COLLATE NOCASE", ""),
        "column name on animals is TEXT not null default 'nobody',"
        " should be TEXT collate NOCASE not null default 'nobody'",
    ),
    Drift(
        rewritten("animals", "upper(name)", "lower(name)"),
        "column shout on animals is TEXT GENERATED ALWAYS AS (lower(name)) VIRTUAL,"
        " should be TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL",
    ),
    Drift(
        rewritten(
            "animals", "CONSTRAINT animals_keeper_id_fkey REFERENCES keepers (id) ON DELETE CASCADE", ""
        ),
        "foreign key animals_keeper_id_fkey is missing on animals",
    ),
    Drift(
        rewritten("animals", "ON DELETE CASCADE", "ON DELETE SET NULL"),
        "foreign key animals_keeper_id_fkey on animals is (keeper_id) references keepers (id) on delete set null,"
        " should be (keeper_id) references keepers (id) on delete cascade",
    ),
    Drift(
        rewritten("animals", "DEFERRABLE INITIALLY DEFERRED", ""),
        "foreign key animals_partner_id_fkey on animals is (partner_id) references animals (id),"
        " should be (partner_id) references animals (id) deferrable initially deferred",
    ),
    Drift(
        rewritten(
            "animals", "tame INTEGER DEFAULT true", "tame INTEGER DEFAULT true REFERENCES animals (id)"
        ),
        "foreign key animals_tame_fkey is not part of the schema on animals",
        safe=False,
    ),
    Drift(
        rewritten("animals", "'completed')", "'completed', 'lost')"),
        "check animals_status_check on animals is CHECK (status IN ('pending', 'completed', 'lost')),"
        " should be CHECK (status IN ('pending', 'completed'))",
        safe=False,
        offered="",
    ),
    Drift(
        rewritten("animals", "CONSTRAINT animals_weight_check CHECK (weight > 0)", ""),
        "check animals_weight_check is missing on animals",
        safe=False,
        offered="",
    ),
    Drift("DROP INDEX animals_status_index", "index animals_status_index is missing on animals"),
    Drift(
        "DROP INDEX animals_live_index; CREATE INDEX animals_live_index ON animals (keeper_id, weight)",
        "index animals_live_index on animals is (keeper_id, weight),"
        " should be (keeper_id, weight DESC) where status = 'pending'",
    ),
    Drift(
        "DROP INDEX animals_lower_name_index; CREATE INDEX animals_lower_name_index ON animals (lower(name))",
        "index animals_lower_name_index on animals is (lower(name)), should be unique (lower(name))",
    ),
    Drift(
        "CREATE INDEX animals_tags ON animals (tags)",
        "index animals_tags is not part of the schema on animals",
        safe=False,
        severity="note",
    ),
    Drift(
        "CREATE UNIQUE INDEX keepers_name ON keepers (name)",
        "index keepers_name is not part of the schema on keepers",
        safe=False,
    ),
    Drift("DROP TRIGGER animals_touch", "trigger animals_touch is missing on animals"),
    Drift(
        "CREATE TRIGGER spy AFTER DELETE ON animals BEGIN SELECT 1; END",
        "trigger spy is not part of the schema on animals",
        safe=False,
    ),
    Drift(
        "DROP TRIGGER animals_touch; CREATE TRIGGER animals_touch AFTER INSERT ON animals BEGIN SELECT 1; END",
        "trigger animals_touch on animals is AFTER INSERT BEGIN SELECT 1; END, should be AFTER UPDATE OF NAME BEGIN"
        " UPDATE animals SET seen_at = CURRENT_TIMESTAMP WHERE id = NEW.id; END",
    ),
)
