from __future__ import annotations

import json

import pytest

from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import checksum_of

from .checkouts import Checkout

MIGRATIONS = "src/diwa_schema/migrations"
VERSIONS = f"{MIGRATIONS}/versions"
FIRST = f"{VERSIONS}/20260101000000_first.py"
SECOND = f"{VERSIONS}/20260201000000_second.py"
NEXT = f"{VERSIONS}/20260301000000_next.py"


@pytest.fixture
def schema(tmp_path):
    """This package's repository with a released and an unreleased revision, standing on a branch."""
    made = Checkout(tmp_path / "schema", "diwa-schema")
    made.write(f"{VERSIONS}/__init__.py", "")
    made.write(FIRST, "first\n")
    made.write(SECOND, "second\n")
    revisions = [
        {
            "revision": "20260101000000",
            "down_revision": None,
            "slug": "first",
            "file": "20260101000000_first.py",
            "sha256": checksum_of(b"first\n"),
            "released": "1.0.0",
        },
        {
            "revision": "20260201000000",
            "down_revision": "20260101000000",
            "slug": "second",
            "file": "20260201000000_second.py",
            "sha256": checksum_of(b"second\n"),
            "released": None,
        },
    ]
    made.write(f"{MIGRATIONS}/manifest.json", json.dumps({"revisions": revisions, "tables": []}))
    made.commit()
    made.branch()
    return made


def test_added_revisions_pass(schema):
    schema.write(NEXT)
    schema.commit()
    assert schema.errors() == []
    assert "diwa-schema (owner): no error" in schema.check().summary()


def test_a_released_revision_that_was_changed_fails(schema):
    schema.write(FIRST, "first, better\n")
    assert schema.errors() == [FIRST]
    schema.git("add", ".")
    schema.write(FIRST, "first\n")
    assert schema.errors() == [FIRST]


def test_a_manifest_that_is_changed_along_does_not_help(schema):
    schema.write(FIRST, "first, better\n")
    schema.write(f"{MIGRATIONS}/manifest.json", json.dumps({"revisions": [], "tables": []}))
    schema.commit()
    assert schema.errors() == [FIRST]


def test_other_line_ends_of_a_released_revision_pass(schema):
    (schema.root / FIRST).write_bytes(b"first\r\n")
    assert schema.errors() == []


def test_a_released_revision_that_is_gone_fails(schema):
    schema.git("rm", "-q", FIRST)
    assert schema.errors() == [FIRST]


def test_a_released_revision_that_was_renamed_fails(schema):
    schema.git("mv", FIRST, f"{VERSIONS}/20260101000000_better_name.py")
    schema.commit()
    assert FIRST in schema.errors()


def test_an_unreleased_revision_may_be_changed_renamed_and_deleted(schema):
    schema.write(SECOND, "second, better\n")
    assert schema.errors() == []
    schema.git("mv", SECOND, f"{VERSIONS}/20260115000000_second.py")
    schema.commit()
    assert schema.errors() == []
    schema.git("rm", "-q", f"{VERSIONS}/20260115000000_second.py")
    assert schema.errors() == []


def test_ids_out_of_order_fail(schema):
    path = schema.write(f"{VERSIONS}/20260115000000_between.py")
    schema.commit()
    assert schema.errors() == [path]


def test_an_id_is_compared_with_what_the_base_has_by_now(schema):
    path = schema.write(NEXT)
    schema.commit()
    schema.git("switch", "-q", "main")
    schema.write(f"{VERSIONS}/20260401000000_faster.py")
    schema.commit()
    schema.git("switch", "-q", "work")
    assert schema.errors() == []
    schema.git("merge", "-q", "--no-edit", "main")
    assert schema.errors() == [path]


@pytest.mark.parametrize(
    "name", ["0003_next.py", "20269901000000_next.py", "20260301000000-next.py", "next.py"]
)
def test_a_revision_without_a_time_for_an_id_fails(schema, name):
    path = schema.write(f"{VERSIONS}/{name}")
    schema.commit()
    assert schema.errors() == [path]


def test_one_id_twice_fails(schema):
    schema.write(NEXT)
    path = schema.write(f"{VERSIONS}/20260301000000_other.py")
    schema.commit()
    assert schema.errors() == [path]


def test_without_a_manifest_at_the_base_nothing_was_released(schema):
    schema.git("switch", "-q", "main")
    schema.git("rm", "-q", f"{MIGRATIONS}/manifest.json")
    schema.commit()
    schema.git("switch", "-q", "-C", "work")
    schema.write(FIRST, "first, better\n")
    assert schema.errors() == []


def test_a_manifest_at_the_base_that_cannot_be_read_is_refused(schema):
    schema.git("switch", "-q", "main")
    schema.write(f"{MIGRATIONS}/manifest.json", "{")
    schema.commit()
    with pytest.raises(UsageError, match="at the base cannot be read"):
        schema.errors()
