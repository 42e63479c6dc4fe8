"""The API keeps to its own description, whatever it is sent."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from inbox_api.testing import BAT, Inbox, bill, event, otp
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from spacehub.testing.serving import served

from .conftest import ISSUING, api_of

EXCLUDED: Mapping[int, list[Any]] = {
    200: [negative_data_rejection],  # unknown keys are ignored, in a query too
    400: [positive_data_acceptance],  # a cursor never given out, or a search for nothing, is refused
}
"""Checks that ask for more than the contract does, by the status they complain about."""


def explore(app: FastAPI, url: str, *, token: str) -> Counter[tuple[str, int]]:
    """Send what the description allows and what it does not, with every check there is; paths and statuses seen."""
    seen: Counter[tuple[str, int]] = Counter()
    for result in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in GenerationMode:

            @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy(mode))
            def check(case: Case[Any]) -> None:
                response = case.call(base_url=url, headers={"Authorization": f"Bearer {token}"})
                seen[case.path, response.status_code] += 1
                case.validate_response(response, excluded_checks=EXCLUDED.get(response.status_code))

            check()
    return seen


async def test_the_calls_of_the_app_are_as_described(inbox: Inbox) -> None:
    await inbox.takes(*(event(bill(str(number))) for number in range(30)))
    await inbox.takes(event(otp(), id="0"))
    api, _ = api_of(inbox, of_a_user=0)  # a stream that opens would never end

    async with served(api) as url:
        seen = await asyncio.to_thread(explore, api, url, token=ISSUING.token(BAT, scope="ops"))

    statuses = {status for _, status in seen}
    assert max(statuses) < 500
    assert {
        ("/v2/notifications", 200),
        ("/v2/notifications", 400),
        ("/v2/notifications", 422),
        ("/v2/notifications/{id}/read", 404),
        ("/v2/notifications/stream", 429),
        ("/v2/notification-preferences", 200),
        ("/v2/notification-preferences", 422),
        ("/v2/ops/deliveries", 200),
        ("/v2/ops/deliveries", 400),
        ("/v2/ops/deliveries", 422),
        ("/v2/ops/deliveries/{id}", 404),
    } <= set(seen)
