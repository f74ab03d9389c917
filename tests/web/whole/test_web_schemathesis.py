"""The API keeps its own description, whatever it is sent that the description allows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import content_type_conformance, not_a_server_error
from schemathesis.core.result import Err
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from bot.web.security.principal import Scope
from tests.web.house import House
from tests.web.whole.addresses import ENDLESS, document

EXAMPLES = 12
CHECKS: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_DOCUMENT = document()
_SCHEMA = schemathesis.openapi.from_dict(_DOCUMENT)


def _operations() -> Iterator[Any]:
    for found in _SCHEMA.get_all_operations():
        assert not isinstance(found, Err), found
        operation = found.ok()
        if operation.path not in ENDLESS:
            yield pytest.param(operation, id=operation.label.replace(" /api/v1", " "))


@pytest.fixture(scope="module")
def caller(demo: House) -> Iterator[httpx2.Client]:
    """Who may do everything. In a simulated world nothing that it does can hurt."""
    with demo.client(Scope.ADMIN) as client:
        yield client


def test_the_document_that_is_served_is_the_one_that_is_tried(caller: httpx2.Client) -> None:
    served = caller.get("/api/v1/openapi.json").json()
    assert set(served["paths"]) == set(_DOCUMENT["paths"])


@pytest.mark.parametrize("operation", list(_operations()))
def test_every_operation_answers_as_its_description_says(
    demo: House, caller: httpx2.Client, operation: APIOperation[Any, Any, Any, Any]
) -> None:
    @seed(6)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(GenerationMode.POSITIVE))
    def tried(case: schemathesis.Case[Any]) -> None:
        answer = _sent(demo, caller, case)
        case.validate_response(answer, checks=CHECKS)

    tried()


def _sent(demo: House, caller: httpx2.Client, case: schemathesis.Case[Any]) -> Any:
    """The answer; where it is asked to confirm, it does, and where it is too fast, it waits as it is told."""
    headers = {"authorization": caller.headers["authorization"]}
    while True:
        answer = case.call(base_url=demo.url, headers=headers, timeout=40)
        if answer.status_code == 428 and "Confirmation" not in headers:
            headers["Confirmation"] = answer.json()["confirmation"]
        elif answer.status_code == 429:
            time.sleep(0.3)
        else:
            return answer
