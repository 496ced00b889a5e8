"""The report of a run leads to every target that is not done: `--from REPORT` loses none."""

from __future__ import annotations

import json

import pytest

from diwa_schema.cli import main
from diwa_schema.database.url import parse
from tests.fleet.tenants import TENANTS, execute, revisions


@pytest.fixture
def fleet(tenants, capsys, tmp_path, owner_directory):
    """Runs a verb over all tenants, writes its report, and returns its exit code and its documents."""

    def run(verb, *words):
        code = main(["fleet", verb, "--url", tenants, "--schemas", "tenant_*", *words, "--json"])
        shown = capsys.readouterr().out
        (tmp_path / "report").write_text(shown)
        return code, [json.loads(line) for line in shown.splitlines()]

    return run


@pytest.fixture
def report(tmp_path):
    return tmp_path / "report"


def results(documents):
    return [(one["schema"], one["result"]) for one in documents if "result" in one]


def test_the_report_of_a_stopped_run_has_the_targets_that_were_not_begun(tenants, fleet, report):
    execute(tenants, "UPDATE tenant_1.diwa_schema_version SET version_num = '29990101000000'")
    code, documents = fleet("upgrade", "--waves", "1,rest")
    assert code == 6
    assert results(documents) == [
        ("tenant_1", "failed"),
        ("tenant_2", "not begun"),
        ("tenant_3", "not begun"),
    ]
    code, documents = fleet("upgrade", "--from", str(report))
    assert code == 6
    assert sorted(results(documents)) == [
        ("tenant_1", "failed"),
        ("tenant_2", "done"),
        ("tenant_3", "done"),
    ]


def test_a_target_that_turns_out_to_differ_at_the_end_has_another_line(tenants, fleet, report):
    execute(tenants, "ALTER TABLE tenant_2.memories ADD COLUMN own integer")
    code, documents = fleet("upgrade", "--jobs", "1")
    assert code == 1
    (differs,) = (one for one in documents if one.get("result") == "differs")
    assert (differs["schema"], differs["exit_code"]) == ("tenant_2", 1)
    assert differs["digest"] in differs["detail"]
    assert differs == documents[-2]
    # The last line of a target counts.
    _, documents = fleet("status", "--from", str(report))
    assert results(documents) == [("tenant_2", "at head")]


@pytest.mark.parametrize("kept", [0, 1, 2], ids=["nothing", "one target", "without the summary"])
def test_a_report_that_lacks_targets_is_refused(kept, fleet, report, capsys, tenants):
    """A killed run leaves such a report, and a stopped one of the first release."""
    _, documents = fleet("status")
    lines = [json.dumps(one) for one in (documents[:kept] if kept != 1 else [*documents[:1], documents[-1]])]
    report.write_text("\n".join(lines))
    assert main(["fleet", "upgrade", "--url", tenants, "--from", str(report)]) == 2
    assert "without --from" in capsys.readouterr().err
    assert len(set(revisions(tenants).values())) == 1


def test_an_error_is_one_line_and_leads_to_no_target(fleet, report, capsys):
    code, (document,) = fleet("upgrade", "--only", "nobody")
    assert code == document["exit_code"] == 2
    code, (document,) = fleet("upgrade", "--from", str(report))
    assert code == 2
    assert "without --from" in document["next_step"]


def test_a_server_that_could_not_be_searched_stands_for_its_targets(
    tenants, fleet, report, capsys, listing, closed
):
    """The report names what a search would have found by the URL of the search only."""
    words = ["fleet", "status", "--targets", str(listing(f"here,{tenants},tenant_1,")), "--json"]
    assert main([*words, "--url", closed, "--schemas", "tenant_*"]) == 6
    unreachable, *others = map(json.loads, capsys.readouterr().out.splitlines())
    unreachable["database"] = parse(tenants).shown  # the same server runs again
    report.write_text("\n".join(map(json.dumps, [unreachable, *others])))
    main([*words, "--url", tenants, "--schemas", "tenant_*", "--from", str(report)])
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {schema for schema, _ in results(again)} == set(TENANTS)
    assert "is no target any more" in again[-1]["notes"][-1]
