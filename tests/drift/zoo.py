"""A schema that has one of everything that a catalog can tell apart."""

POSTGRESQL = """
CREATE TABLE diwa_schema_version (version_num varchar(32) PRIMARY KEY, floor varchar(32));
CREATE TABLE keepers (
  id uuid DEFAULT gen_random_uuid() NOT NULL,
  name varchar(255) NOT NULL,
  email varchar(255),
  CONSTRAINT keepers_pkey PRIMARY KEY (id),
  CONSTRAINT keepers_email_key UNIQUE (email)
);
CREATE TABLE animals (
  id bigint,
  keeper_id uuid NOT NULL,
  name varchar(255) DEFAULT 'nobody' NOT NULL,
  nickname varchar(255) COLLATE "C",
  status varchar(255) DEFAULT 'pending',
  "position" integer,
  weight double precision,
  notes jsonb DEFAULT '{}'::jsonb NOT NULL,
  tags varchar(255)[] DEFAULT ARRAY[]::varchar[],
  born_at timestamp(0),
  seen_at timestamp,
  shout text GENERATED ALWAYS AS (upper(name)) STORED,
  CONSTRAINT animals_pkey PRIMARY KEY (id),
  CONSTRAINT animals_keeper_id_fkey FOREIGN KEY (keeper_id) REFERENCES keepers (id) ON DELETE CASCADE,
  CONSTRAINT animals_status_check CHECK (status IN ('pending', 'completed')),
  CONSTRAINT animals_weight_check CHECK (weight > 0),
  CONSTRAINT animals_name_born_at_key UNIQUE (name, born_at) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT animals_position_excl EXCLUDE USING btree ("position" WITH =)
);
CREATE INDEX animals_status_index ON animals (status);
CREATE INDEX animals_live_index ON animals (keeper_id, "position" DESC) WHERE status IN ('pending', 'busy');
CREATE INDEX animals_lower_name_index ON animals (lower(name) text_pattern_ops) INCLUDE (weight);
CREATE INDEX animals_notes_index ON animals USING gin (notes) WITH (fastupdate = off);
CREATE UNIQUE INDEX animals_nickname_index ON animals (nickname) NULLS NOT DISTINCT;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen_at := now(); RETURN NEW; END $$;
CREATE TRIGGER animals_touch BEFORE INSERT OR UPDATE OF name, status ON animals
  FOR EACH ROW WHEN (NEW.name <> '') EXECUTE FUNCTION touch();
CREATE CONSTRAINT TRIGGER animals_watch AFTER UPDATE ON animals DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE keepers ENABLE ROW LEVEL SECURITY;
CREATE POLICY keepers_seen ON keepers FOR SELECT USING (name <> 'hidden');
CREATE VIEW busy_animals AS SELECT id, name FROM animals WHERE weight > 100;
INSERT INTO keepers (id, name, email) VALUES
  ('00000000-0000-0000-0000-000000000001', 'Ada', 'ada@zoo.example'),
  ('00000000-0000-0000-0000-000000000002', 'Bo', NULL);
INSERT INTO animals (id, keeper_id, name, nickname, "position", weight, tags, born_at) VALUES
  (1, '00000000-0000-0000-0000-000000000001', 'Tiger', 'T', 1, 120.5, '{big,striped}', '2024-01-01'),
  (2, '00000000-0000-0000-0000-000000000002', 'Owl', 'O', 2, 1.5, NULL, '2024-01-02');
"""

SQLITE = """
CREATE TABLE diwa_schema_version (version_num varchar(32) PRIMARY KEY, floor varchar(32));
CREATE TABLE keepers (
  id TEXT DEFAULT NULL PRIMARY KEY,
  name TEXT NOT NULL, -- what they are called, in full
  email TEXT,
  CONSTRAINT keepers_email_key UNIQUE (email)
);
CREATE TABLE animals (
  "id" INTEGER NOT NULL,
  keeper_id TEXT NOT NULL CONSTRAINT animals_keeper_id_fkey REFERENCES keepers (id) ON DELETE CASCADE,
  partner_id INTEGER,
  name TEXT DEFAULT 'nobody' NOT NULL COLLATE NOCASE,
  status TEXT DEFAULT ('pending'),
  weight NUMERIC DEFAULT 0.5 CONSTRAINT animals_weight_check CHECK (weight > 0),
  tame INTEGER DEFAULT true,
  tags TEXT DEFAULT ('["a","b"]'),
  shout TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL,
  seen_at TEXT DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT animals_pkey PRIMARY KEY (id),
  CONSTRAINT animals_status_check CHECK (status IN ('pending', 'completed')),
  CONSTRAINT animals_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES animals (id)
    DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX animals_status_index ON animals (status);
CREATE INDEX animals_live_index ON animals (keeper_id, "weight" DESC) WHERE status = 'pending';
CREATE UNIQUE INDEX animals_lower_name_index ON animals (lower(name));
CREATE TRIGGER animals_touch AFTER UPDATE OF name ON animals BEGIN
  UPDATE animals SET seen_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
CREATE VIEW light_animals AS SELECT id, name FROM animals WHERE weight < 1;
INSERT INTO keepers (id, name, email) VALUES ('k1', 'Ada', 'ada@zoo.example'), ('k2', 'Bo', NULL);
INSERT INTO animals (id, keeper_id, partner_id, name, weight, tame) VALUES
  (1, 'k1', 2, 'Tiger', 120.5, false), (2, 'k2', 1, 'Owl', 1.5, true);
"""
