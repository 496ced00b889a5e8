"""Threads of a new process, each with another function and a database of its own: none meets a half loaded module."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = """
import sys, threading, traceback
import diwa_schema

sys.setswitchinterval(1e-4)
folder, failed = sys.argv[1], []
settings = diwa_schema.Settings(replay=True)
FUNCTIONS = {
    "migrate": lambda url: diwa_schema.migrate(url, "20251224053423", settings=settings),
    "downgrade": lambda url: diwa_schema.downgrade(url, "base"),
    "stamp": lambda url: diwa_schema.stamp(url, "20251224053423", force=True),
    "drop": diwa_schema.drop,
    "check": diwa_schema.check,
    "plan": diwa_schema.plan,
    "status": diwa_schema.status,
    "doctor": diwa_schema.doctor,
    "violations": diwa_schema.violations,
    "adopt": diwa_schema.adopt,
    "validate": diwa_schema.validate,
    "ensure_current": diwa_schema.ensure_current,
}
begin = threading.Barrier(len(FUNCTIONS))

def work(name, function):
    begin.wait()
    try:
        function(f"sqlite:///{folder}/{name}.db")
    except diwa_schema.DiwaSchemaError:
        pass  # there is nothing to adopt, say
    except BaseException:
        failed.append(traceback.format_exc())

threads = [threading.Thread(target=work, args=one) for one in FUNCTIONS.items()]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("".join(failed))
sys.exit(bool(failed))
"""


@pytest.mark.usefixtures("owner_directory")
def test_threads_of_a_new_process_do_not_meet_half_loaded_modules(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
