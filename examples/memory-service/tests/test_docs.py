"""The description of the service, which `/docs` shows."""

from __future__ import annotations

import re
from typing import Any

from memory_service import __version__
from memory_service.app import create_app

DOCUMENT: dict[str, Any] = create_app("sqlite://").openapi()
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    (path, operation) for path, item in DOCUMENT["paths"].items() for operation in item.values()
]


def test_the_page_says_the_version_and_the_purpose() -> None:
    assert DOCUMENT["info"]["version"] == __version__
    assert DOCUMENT["info"]["summary"]
    assert DOCUMENT["info"]["description"]
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
    assert described == {tag for _, operation in OPERATIONS for tag in operation["tags"]}


def test_each_operation_has_a_title_of_its_own_and_a_sentence() -> None:
    titles = [operation["summary"] for _, operation in OPERATIONS]
    assert len(set(titles)) == len(titles)
    assert all(" " in title for title in titles)
    assert all(operation["description"].endswith(".") for _, operation in OPERATIONS)


def test_a_path_with_an_id_documents_that_no_row_may_have_it() -> None:
    for path, operation in OPERATIONS:
        assert ("404" in operation["responses"]) == ("{" in path), path
        for code, answer in operation["responses"].items():
            if code not in {"200", "201", "422"}:
                assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")


def test_a_body_to_write_has_an_example() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if re.match("New|Change", name):
            (example,) = schema["examples"]
            assert set(example) <= set(schema["properties"])
