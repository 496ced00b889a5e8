"""Keeping the package's own tables from being written by anybody but their owner."""

from __future__ import annotations

# No percent sign stands in it: rendered for later, some dialects would double it.
_BLOCK = """DO $do$
DECLARE
  who text;
BEGIN
  FOR who IN
    SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END
      FROM pg_class c, aclexplode(c.relacl) x
     WHERE c.oid = '{table}'::regclass AND x.grantee <> c.relowner AND x.privilege_type <> 'SELECT'
  LOOP
    EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE {table} FROM ' || who;
  END LOOP;
END
$do$"""


def statement(table: str) -> str:
    """Return the SQL that takes the right to write a new table from all whom default privileges gave it.

    Otherwise an application that may write to new tables could say that the schema is current, or take a
    protection away.

    Args:
        table: The table's name, as it stands in SQL.
    """
    return _BLOCK.format(table=table)
