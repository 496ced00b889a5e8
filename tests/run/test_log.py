"""What a run writes into the log and into a trace, and that it prints nothing."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import diwa_schema
from diwa_schema.errors import DiwaSchemaError
from diwa_schema.run.log import span
from tests.fixtures_checkout import Cli, run

PAGE = (Path(__file__).parents[2] / "docs" / "logging.md").read_text()
EVENTS = set(re.findall(r"^\| `(\w+)` \| (?:info|debug|warning|error) \|", PAGE, flags=re.MULTILINE))


@pytest.fixture
def url(head_file: Path, tmp_path: Path, owner_directory: object) -> str:
    return f"sqlite:///{shutil.copy(head_file, tmp_path / 'head.db')}"


def facts(records: list[logging.LogRecord]) -> list[dict[str, Any]]:
    return [record.diwa for record in records if record.name == "diwa_schema"]  # type: ignore[attr-defined]


def test_a_run_says_what_it_does(url: str, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.INFO, logger="diwa_schema")
    report = diwa_schema.downgrade(url)
    told = facts(caplog.records)
    assert [each["event"] for each in told] == [
        "run_began",
        "revision_began",
        "revision_ended",
        "run_ended",
    ]
    assert {each["database"] for each in told} == {url}
    assert told[0]["run_id"] == told[3]["run_id"] == report.run_id
    assert told[0]["revision"] == told[1]["revision"] == report.before
    assert told[0]["repository"] == "diwa-cloud"
    assert "bypass" not in told[0]
    assert told[2]["milliseconds"] == report.applied[0].milliseconds
    assert {each["event"] for each in told} <= EVENTS
    caplog.clear()
    assert diwa_schema.migrate(url).applied
    caplog.clear()
    diwa_schema.migrate(url)
    assert facts(caplog.records) == []
    assert capfd.readouterr() == ("", "")


def test_a_run_that_fails_says_so(url: str, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise DiwaSchemaError("secret")

    monkeypatch.setattr("diwa_schema.run.replay.Replay._one", broken)
    caplog.set_level(logging.INFO, logger="diwa_schema")
    with pytest.raises(DiwaSchemaError):
        diwa_schema.downgrade(url)
    last = facts(caplog.records)[-1]
    assert (last["event"], last["error"], last["exit_code"]) == ("run_failed", "DiwaSchemaError", 6)
    assert "secret" not in caplog.text


def test_without_a_handler_warnings_are_printed_nowhere() -> None:
    code = "from diwa_schema.run.log import write; write(40, 'heard', 'notice')"
    done = run([sys.executable, "-c", code], check=0)
    assert done.stdout + done.stderr == ""


def test_a_run_is_a_span_and_each_revision_one_in_it(url: str, monkeypatch: Any) -> None:
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    report = diwa_schema.downgrade(url)
    revision, whole = kept.get_finished_spans()
    assert revision.name == f"diwa_schema revision {report.before}"
    assert whole.name == "diwa_schema migrate"
    assert (revision.parent and revision.parent.span_id) == (whole.context and whole.context.span_id)
    assert (whole.attributes or {})["diwa_schema.run_id"] == report.run_id
    kept.clear()
    with pytest.raises(ValueError, match="row"), span("broken"):
        raise ValueError("a row's value")
    (failed,) = kept.get_finished_spans()
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert not failed.status.is_ok
    assert "value" not in failed.to_json()


def test_without_opentelemetry_nothing_of_it_is_loaded(url: str) -> None:
    code = "import sys, diwa_schema; diwa_schema.downgrade(sys.argv[1]); sys.exit('opentelemetry' in sys.modules)"
    run([sys.executable, "-c", code, url], check=0)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_the_command_line_prints_the_records(cli: Cli, url: str) -> None:
    words = ["downgrade", "--url", url, "--log-format", "json"]
    bypass = {"ALLOW_CORE_MIGRATION": "true", "DIWA_REPO": "diwa-agent"}
    told = lines(done := cli(*words, env=bypass, check=0))
    events = ["notice", "run_began", "revision_began", "revision_ended", "run_ended"]
    assert [each["event"] for each in told] == events
    assert "[SAFETY BYPASS]" in told[0]["message"]
    assert told[1]["bypass"] == "ALLOW_CORE_MIGRATION=true"
    assert all({"time", "level", "message"} <= set(each) for each in told)
    assert "->" in done.stdout
    (refused,) = lines(cli(*words, env={"DIWA_REPO": "diwa-agent"}, check=3))
    assert (refused["event"], refused["error"], refused["exit_code"]) == ("failed", "Blocked", 3)
    assert refused["next_step"] or refused["what"]
    assert cli(*words[:-2], env={"DIWA_REPO": "diwa-agent"}, check=3).stderr.startswith("[SAFETY BLOCK]")


def test_the_page_names_the_events_that_there_are() -> None:
    source = Path(diwa_schema.__file__).parent / "run" / "log.py"
    written = set(re.findall(r'"(run_\w+|revision_\w+|notice|step)", ', source.read_text()))
    assert written == EVENTS
