"""What a client is told, the same on every database."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

EAST, NORTH = [1.0] + [0.0] * 1535, [0.0, 1.0] + [0.0] * 1534


def add(client: TestClient, context: str, content: str, **more: Any) -> dict[str, Any]:
    made = client.post(f"/contexts/{context}/memories", json={"content": content, **more})
    assert made.status_code == 201, made.text
    assert client.get(f"/memories/{made.json()['id']}").json() == made.json()
    return dict(made.json())


def contents(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    rows = answer.json()
    return [each["content"] for each in (rows["memories"] if isinstance(rows, dict) else rows)]


def test_memories_are_found_by_page_tag_and_words(client: TestClient, context: str) -> None:
    for number in range(5):
        add(client, context, f"Tide {number} rises", tags=["odd" if number % 2 else "even", "tide"])
    pages, before = [], None
    while True:
        at = {"limit": 2} | ({"before": before} if before else {})
        answer = client.get(f"/contexts/{context}/memories", params=at)
        pages.append(contents(answer))
        if (before := answer.json()["before"]) is None:
            break
    assert pages == [["Tide 4 rises", "Tide 3 rises"], ["Tide 2 rises", "Tide 1 rises"], ["Tide 0 rises"]]
    tagged = {"tag": ["odd", "tide"]}
    assert contents(client.get(f"/contexts/{context}/memories", params=tagged)) == [
        "Tide 3 rises",
        "Tide 1 rises",
    ]
    found = f"/contexts/{context}/memories/search"
    assert contents(client.get(found, params={"words": "RISES 3"})) == ["Tide 3 rises"]
    assert contents(client.get(found, params={"words": '\0 " & !'})) == []


def test_a_change_and_a_deletion_stay_in_the_history(client: TestClient, context: str) -> None:
    memory = add(client, context, "Low tide at 6", metadata={"type": "fact"}, actor="ada")
    path = f"/memories/{memory['id']}"
    changed = client.patch(path, json={"content": "Low tide at 7", "actor": "bob", "reason": "summer"})
    assert changed.json() == memory | {"content": "Low tide at 7"}
    deleted = client.delete(path, params={"actor": "eve"}).json()
    assert deleted["deleted_at"] is not None
    assert client.get(path).json() == deleted
    assert contents(client.get(f"/contexts/{context}/memories")) == []
    assert client.patch(path, json={"content": "again"}).status_code == client.delete(path).status_code == 410
    versions = client.get(f"{path}/history").json()
    assert [(each["version_number"], each["operation"], each["actor"]) for each in versions] == [
        (3, "delete", "eve"),
        (2, "update", "bob"),
        (1, "create", "ada"),
    ]
    assert [each["content"] for each in versions] == ["Low tide at 7", "Low tide at 7", "Low tide at 6"]
    assert versions[1]["reason"] == "summer"


def test_neighbours_where_the_database_knows_them(client: TestClient, context: str, url: str) -> None:
    east = add(client, context, "east", embedding=EAST)
    add(client, context, "north", embedding=NORTH)
    add(client, context, "nowhere")
    # An embedding that was not read before is replaced.
    client.patch(f"/memories/{east['id']}", json={"embedding": [2 * each for each in EAST]})
    answer = client.post(f"/contexts/{context}/memories/nearest", json={"embedding": EAST})
    if answer.status_code == 501:
        database = "SQLite" if url.startswith("sqlite") else "bytes"
        assert database in answer.json()["detail"]
        return
    assert not url.startswith("sqlite")
    assert contents(answer) == ["east", "north"]


def test_what_cannot_be_stored_is_refused_before_it_is_sent(client: TestClient, context: str) -> None:
    path = f"/contexts/{context}/memories"
    for body in (
        '{"content": ""}',
        '{"content": "a\\u0000b"}',
        '{"content": "half \\ud800"}',
        '{"content": "x", "metadata": {"a": "b\\u0000"}}',
        '{"content": "x", "metadata": {"a": NaN}}',
        '{"content": "x", "metadata": {"a": "half \\ud800"}}',
        '{"content": "x", "metadata": {"a": 9223372036854775808}}',
        '{"content": "x", "metadata": {"a": 1e23}}',
        '{"content": "x", "metadata": {"a": ' + "[" * 100 + "]" * 100 + "}}",
        "[" * 100_000,
        json.dumps({"content": "x", "tags": ["t" * 256]}),
        json.dumps({"content": "x", "embedding": [1.0, 2.0]}),
        json.dumps({"content": "x", "embedding": [1e999] * 1536}),
    ):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), (body, answer.status_code)
    too_large = client.post(path, json={"content": "x", "metadata": {"a": [2**63]}})
    assert "memories.metadata['a'][0] is a whole number beyond eight bytes" in too_large.text
    for limit in (0, -1, 101):
        assert client.get(path, params={"limit": limit}).status_code == 422
    assert contents(client.get(path)) == []
    # Only the words of an escape.
    kept = {"words": "\\u0000", "deep": json.loads("[" * 90 + "]" * 90)}
    assert client.post(path, json={"content": "x", "metadata": kept}).json()["metadata"] == kept


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"actor": "ada"},
        {"content": None},
        {"metadata": None},
        {"contents": "misspelt"},
        {"embedding": [1e300] * 1536},
    ],
)
def test_a_change_that_changes_nothing_or_cannot_be_stored_is_refused(
    client: TestClient, context: str, body: dict[str, Any]
) -> None:
    path = f"/memories/{add(client, context, 'Low tide')['id']}"
    assert client.patch(path, json=body).status_code == 422
    assert len(client.get(f"{path}/history").json()) == 1
    assert client.patch(path, json={"tags": None}).json()["tags"] is None
    assert client.delete(path, params={"reason": "\0"}).status_code == 422


def test_requests_at_once_create_an_organization_once_and_a_name_once(client: TestClient) -> None:
    def create(number: int) -> int:
        body = {"organization": "together", "name": f"Harbour {number % 2}"}
        return client.post("/contexts", json=body).status_code

    with ThreadPoolExecutor(8) as threads:
        codes = sorted(threads.map(create, range(8)))
    assert codes == [201, 201, *[409] * 6]


@pytest.mark.parametrize(
    "path", ["/contexts/{}", "/contexts/{}/memories", "/memories/{}", "/memories/{}/history"]
)
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path.format(uuid4())).status_code == 404


def test_a_name_is_taken_once_and_a_page_goes_on_in_its_context(client: TestClient, context: str) -> None:
    again = client.post("/contexts", json={"organization": "acme", "name": "HARBOUR"})
    assert again.status_code == 409
    other = client.post("/contexts", json={"organization": "acme", "name": "Bay"}).json()
    assert other["organization_id"] == client.get(f"/contexts/{context}").json()["organization_id"]
    memory = add(client, other["id"], "of the bay")
    assert client.get(f"/contexts/{context}/memories", params={"before": memory["id"]}).status_code == 404
