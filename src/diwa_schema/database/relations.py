"""The relations of a schema, found without reading those of all other schemas of the database.

The system's list of relations has an index on names and none on schemas. Known names are searched directly. Unknown
relations are found through their dependencies: each depends on its schema, and the list of dependencies has an index.
"""

from __future__ import annotations

from diwa_schema.names import literal


def in_schema(namespace: str, *, relation: str = "c.oid", catalog: str = "pg_class") -> str:
    """Return the condition that a relation, or a function, is in a schema, as SQL.

    Args:
        namespace: The schema's oid, as SQL.
        relation: The relation's oid, as SQL; indexes are not found this way, because they depend on their table.
        catalog: The system catalog of the object: pg_class, or pg_proc for functions.
    """
    return (
        f"{relation} IN (SELECT s.objid FROM pg_depend s WHERE s.classid = {literal(catalog)}::regclass"
        f" AND s.refclassid = 'pg_namespace'::regclass AND s.refobjid = {namespace})"
    )
