"""The characters of a vector in a column of bytes: their detection, and the check that refuses them.

A client that sends an embedding as untyped text works as long as the column is a vector. Once the column is bytes, the
same statement still succeeds and stores the characters, which no code reads as an embedding. Only an unmistakable text
is refused: `[` first and `]` last. Erlang's external term format begins with the byte 131.

The history and the comparison of catalogs share this module, so it uses neither SQLAlchemy nor Alembic.
"""

from __future__ import annotations

from diwa_schema.names import cut

COLUMN = "embedding"
TABLES = ("memories", "embedding_cache")


def are_in(value: str) -> str:
    """Return SQL that checks whether an SQL expression of bytes is unmistakably the text of a vector.

    No bytes raise an error. For a value stored outside its row only the first piece is read, unless it begins like a
    text: every UPDATE of a row runs the check, even an UPDATE of other columns.
    """
    last = f"substr({value}, octet_length({value}), 1)"
    return f"encode(substr({value}, 1, 1), 'escape') = '[' AND encode({last}, 'escape') = ']'"


def check_on(table: str) -> str:
    """Return the name of the check on the embeddings of a table."""
    return cut(f"{table}_{COLUMN}", suffix="_not_text")


def refusal(table: str) -> str:
    """Return the clause after ``ALTER TABLE name`` that makes a table refuse such texts from now on; no row is read."""
    return f"ADD CONSTRAINT {check_on(table)} CHECK (NOT ({are_in(COLUMN)})) NOT VALID"


# In the server's spelling; somebody may have validated it.
_DEFINITION = (
    f"CHECK ((NOT ((encode(substr({COLUMN}, 1, 1), 'escape'::text) = '['::text)"
    f" AND (encode(substr({COLUMN}, octet_length({COLUMN}), 1), 'escape'::text) = ']'::text))))"
)


def is_check(table: str, name: str, definition: str) -> bool:
    """Return whether a check of a table is the one that refuses texts, validated or not."""
    return (
        table in TABLES and name == check_on(table) and definition.removesuffix(" NOT VALID") == _DEFINITION
    )
