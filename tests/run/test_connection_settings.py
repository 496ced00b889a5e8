"""Every setting that a role, a database or a session can have is decided on: set, refused, or harmless for a reason."""

from __future__ import annotations

import psycopg

from diwa_schema.database.link import REQUIRED, SETTINGS

# Set for each piece of work (run/pace.py), or where a schema was said.
PER_PIECE = {
    "deadlock_timeout",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "transaction_timeout",
}
# Said with each BEGIN, or looked at before the lock.
TRANSACTIONS = {"default_transaction_read_only", "transaction_isolation", "transaction_read_only"}

HARMLESS_CATEGORIES = {
    "Query Tuning": "another plan gives the same rows",
    "Reporting and Logging": "what the server writes down",
    "Statistics": "what the server counts",
    "Resource Usage": "how much memory or disk a statement may take: it fails, or it is done",
    "Vacuuming": "no run vacuums",
    "Write-Ahead Log": "how durable a commit is, is the operator's choice",
    "Connections and Authentication": "passwords and keepalives",
    "Replication": "no run replicates",
    "Client Connection Defaults / Shared Library Preloading": "what is loaded is the operator's choice",
    "Customized Options": "nobody's of ours",
}
HARMLESS = {
    "allow_in_place_tablespaces": "no run makes a tablespace",
    "allow_system_table_mods": "no run changes a system table",
    "backslash_quote": "only for strings that standard_conforming_strings keeps away",
    "backtrace_functions": "logging",
    "check_function_bodies": "a function of ours is right either way",
    "client_min_messages": "notices are not read",
    "createrole_self_grant": "the difference of roles is computed again after the statements ran",
    "debug_discard_caches": "slower only",
    "debug_logical_replication_streaming": "no run replicates",
    "debug_parallel_query": "the same rows",
    "default_table_access_method": "where tables lie is the operator's choice",
    "default_tablespace": "where tables lie is the operator's choice",
    "default_text_search_config": "the trigger names its configuration",
    "default_toast_compression": "how values lie on disk is the operator's choice",
    "default_transaction_deferrable": "means something for SERIALIZABLE READ ONLY alone",
    "dynamic_library_path": "no function of ours is in C",
    "escape_string_warning": "a warning",
    "ignore_system_indexes": "slower only; it can be set at connect alone",
    "event_triggers": "a run does not count on event triggers",
    "extension_control_path": "where extensions lie is the operator's choice",
    "extension_destdir": "Debian's name for the same",
    "force_parallel_mode": "the same rows",
    "gin_pending_list_limit": "when an index is tidied",
    "icu_validation_level": "no run makes a collation",
    "jit_debugging_support": "debugging",
    "jit_dump_bitcode": "debugging",
    "jit_profiling_support": "debugging",
    "post_auth_delay": "debugging",
    "jit_expressions": "the same rows",
    "jit_tuple_deforming": "the same rows",
    "lc_messages": "errors are told apart by their SQLSTATE",
    "lc_monetary": "no column is money",
    "lc_numeric": "no number is written by to_char",
    "lc_time": "no time is written by to_char",
    "lo_compat_privileges": "no run uses large objects",
    "md5_password_warnings": "a warning",
    "restrict_nonsystem_relation_kind": "no run reads a view or a foreign table",
    "synchronize_seqscans": "what needs an order says it",
    "temp_tablespaces": "no run makes a temporary table",
    "timezone_abbreviations": "times are written with offsets",
    "trace_notify": "logging",
    "trace_sort": "logging",
    "transaction_deferrable": "as its default",
    "vacuum_failsafe_age": "no run vacuums",
    "vacuum_freeze_min_age": "no run vacuums",
    "vacuum_freeze_table_age": "no run vacuums",
    "vacuum_multixact_failsafe_age": "no run vacuums",
    "vacuum_multixact_freeze_min_age": "no run vacuums",
    "vacuum_multixact_freeze_table_age": "no run vacuums",
    "wal_consistency_checking": "the server checks itself",
    "xmlbinary": "no column is XML",
    "xmloption": "no column is XML",
}


def test_every_setting_is_decided_on(postgres):
    with psycopg.connect(postgres) as connection:
        found = connection.execute(
            "SELECT name, category FROM pg_settings WHERE context IN ('user', 'superuser', 'superuser-backend', 'backend')"
        ).fetchall()
    decided = {*SETTINGS, *REQUIRED, *PER_PIECE, *TRANSACTIONS, *HARMLESS}
    open_ = [
        name
        for name, category in found
        if name not in decided and not category.startswith(tuple(HARMLESS_CATEGORIES))
    ]
    assert open_ == []
    assert len(found) > 100


def test_nothing_is_decided_twice():
    groups = [set(SETTINGS), set(REQUIRED), PER_PIECE, TRANSACTIONS, set(HARMLESS)]
    assert sum(map(len, groups)) == len(set().union(*groups))
