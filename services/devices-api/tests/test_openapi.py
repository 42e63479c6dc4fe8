"""Both APIs keep to their own description, whatever they are sent."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import schemathesis
from devices_api.registry import Registry
from devices_api.routes import internal_api
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from pydantic import SecretStr
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from spacehub.auth.shared_secret import shared_secret
from spacehub.http_api import LONGEST_HEAD
from spacehub.testing.serving import served

from .conftest import ISSUING, SECRET


def explore(app: FastAPI, url: str, *, token: str) -> Counter[int]:
    """Send what the description allows and what it does not, with every check there is; the statuses that came back."""
    seen: Counter[int] = Counter()
    for result in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in GenerationMode:

            @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy(mode))
            def check(case: Case[Any]) -> None:
                response = case.call(base_url=url, headers={"Authorization": f"Bearer {token}"})
                seen[response.status_code] += 1
                if response.status_code != 413:  # a refusal, though the checks do not count it as one
                    case.validate_response(response)

            check()
    return seen


async def test_the_calls_of_the_app_are_as_described(api: FastAPI) -> None:
    async with served(api, longest_head=LONGEST_HEAD) as url:
        seen = await asyncio.to_thread(explore, api, url, token=ISSUING.token(uuid4()))

    assert {200, 201, 204, 422} <= set(seen)
    assert max(seen) < 500


async def test_the_internal_call_is_as_described(registry: Registry) -> None:
    api = internal_api(authenticate=shared_secret(SecretStr(SECRET)), registry=registry)

    async with served(api) as url:
        seen = await asyncio.to_thread(explore, api, url, token=SECRET)

    assert {200, 422} <= set(seen)
    assert max(seen) < 500
