"""The functions that a revision may call in addition to Alembic's operations.

The safe steps change a table in use without making its users wait, and a second run finishes an interrupted step. A
revision that is not transactional consists of exactly one of them. Without a runner that paces them (in a shadow, under
another Alembic environment, or as printed SQL) they do the same immediately, inside the open transaction. The other
functions handle differences between PostgreSQL and SQLite that no type can hide.
"""

from __future__ import annotations

from diwa_schema.migrations.steps.aside import release
from diwa_schema.migrations.steps.batches import backfill, copy_rows
from diwa_schema.migrations.steps.buffer import (
    add_column_if_absent,
    create_buffer,
    make_ids_texts,
    make_ids_uuids,
)
from diwa_schema.migrations.steps.constraints import (
    add_check,
    add_foreign_key,
    drop_constraint,
    drop_not_null,
    set_default,
    set_not_null,
)
from diwa_schema.migrations.steps.descriptions import describe
from diwa_schema.migrations.steps.dialects import (
    add_column_with_first_value,
    add_embedding,
    add_reference,
    create_index_on_postgresql,
    create_vector_extension,
    drop_table_if_there,
    drop_table_unless_filled,
    index_name,
    only_on_postgresql,
)
from diwa_schema.migrations.steps.filled import (
    add_derived_column,
    add_filled_column,
    drop_derived_column,
    drop_filled_column,
    drop_id_defaults,
    empty_again,
    fill_by_trigger,
    set_defaults_on_postgresql,
    set_id_defaults,
)
from diwa_schema.migrations.steps.indexes import (
    NewIndex,
    add_indexed_columns,
    create_index_concurrently,
    drop_index_concurrently,
    drop_indexed_columns,
    exchange_indexes,
)
from diwa_schema.migrations.steps.inherited import (
    add_organization,
    drop_organization,
    drop_organization_function,
)
from diwa_schema.migrations.steps.kept_values import create_kept_values, drop_kept_values
from diwa_schema.migrations.steps.numbering import forget_numbers, number_versions
from diwa_schema.migrations.steps.outlive import Outliving, be_outlived, outlive
from diwa_schema.migrations.steps.pace import Pace, step
from diwa_schema.migrations.steps.retype import abandon_retype, retype_embedding
from diwa_schema.migrations.steps.retype.archive import create_embedding_archive, drop_embedding_archive
from diwa_schema.migrations.steps.rules import keep_rules, release_rules
from diwa_schema.migrations.steps.upstream import drop_table_unless_agents
from diwa_schema.migrations.steps.words import forget_words, keep_words

__all__ = [
    "NewIndex",
    "Outliving",
    "Pace",
    "abandon_retype",
    "add_check",
    "add_column_if_absent",
    "add_column_with_first_value",
    "add_derived_column",
    "add_embedding",
    "add_filled_column",
    "add_foreign_key",
    "add_indexed_columns",
    "add_organization",
    "add_reference",
    "backfill",
    "be_outlived",
    "copy_rows",
    "create_buffer",
    "create_embedding_archive",
    "create_index_concurrently",
    "create_index_on_postgresql",
    "create_kept_values",
    "create_vector_extension",
    "describe",
    "drop_constraint",
    "drop_derived_column",
    "drop_embedding_archive",
    "drop_filled_column",
    "drop_id_defaults",
    "drop_index_concurrently",
    "drop_indexed_columns",
    "drop_kept_values",
    "drop_not_null",
    "drop_organization",
    "drop_organization_function",
    "drop_table_if_there",
    "drop_table_unless_agents",
    "drop_table_unless_filled",
    "empty_again",
    "exchange_indexes",
    "fill_by_trigger",
    "forget_numbers",
    "forget_words",
    "index_name",
    "keep_rules",
    "keep_words",
    "make_ids_texts",
    "make_ids_uuids",
    "number_versions",
    "only_on_postgresql",
    "outlive",
    "release",
    "release_rules",
    "retype_embedding",
    "set_default",
    "set_defaults_on_postgresql",
    "set_id_defaults",
    "set_not_null",
    "step",
]
