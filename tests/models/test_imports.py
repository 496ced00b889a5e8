from __future__ import annotations

import subprocess
import sys

HEAVY = ("alembic", "rich", "psycopg", "pgvector", "numpy", "sqlalchemy.dialects.postgresql")


def loaded_after(code: str) -> set[str]:
    script = f"import sys; {code}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_models_load_nothing_but_sqlalchemy():
    loaded = loaded_after("from diwa_schema.models import Memory; Memory(content='x')")
    assert "sqlalchemy.orm" in loaded
    assert not loaded & set(HEAVY)
    assert not any(
        name.startswith("diwa_schema.") and "models" not in name for name in loaded - {"diwa_schema"}
    )
