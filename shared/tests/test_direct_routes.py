"""A direct route differs from an ordinary one in what it costs, and in nothing else."""

from typing import Annotated
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field
from spacehub import problems
from spacehub.auth.guard import CurrentCaller
from spacehub.auth.tokens import Caller
from spacehub.direct_routes import direct_get
from spacehub.http_api import http_api
from spacehub.problems import Problem

BAT = Caller(UUID("5a7ab3b0-0000-4000-8000-0000000000aa"))


class Asked(BaseModel):
    cursor: str = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    since: UUID | None = None


def told(caller: Caller, cursor: str, limit: int, since: UUID | None) -> Response:
    if cursor == "bad":
        raise Problem(400, "The cursor is bad.")
    return Response(f"{caller.user_id} {cursor!r} {limit} {since}", headers={"X-Answered": "yes"})


def add_both(app: FastAPI) -> None:
    @direct_get(app, "/direct", responses=problems.documented(400, 422), response_description="What was asked")
    async def direct(caller: CurrentCaller, asked: Annotated[Asked, Query()]) -> Response:
        """Tell what was asked."""
        return told(caller, asked.cursor, asked.limit, asked.since)

    @app.get("/ordinary", responses=problems.documented(400, 422), response_description="What was asked")
    async def ordinary(
        caller: CurrentCaller,
        cursor: str = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        since: UUID | None = None,
    ) -> Response:
        """Tell what was asked."""
        return told(caller, cursor, limit, since)


def calling(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers)


def guarded() -> FastAPI:
    async def authenticate(token: str) -> Caller:
        return BAT

    app = http_api("test", authenticate=authenticate)
    add_both(app)
    return app


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?", 200),
        ("?limit=7&cursor=AQ%3D%3D&since=5A7AB3B0-0000-4000-8000-0000000000AA", 200),
        ("?cursor=%D1%8F+%00%26&unknown=1&limit=%37", 200),
        ("?limit=1&limit=2&cursor=first&cursor=", 200),
        ("?limit=+7+", 200),
        ("?cursor=bad", 400),
        ("?limit=0", 422),
        ("?limit=101&since=nobody", 422),
        ("?limit=", 422),
        ("?limit=seven&cursor=bad", 422),
        ("?limit=7.5", 422),
        ("?limit=99999999999999999999999999", 422),
        ("?limit=5&limit=x", 422),
    ],
)
async def test_it_reads_and_refuses_as_the_framework_does(query: str, status: int) -> None:
    async with calling(guarded(), Authorization="Bearer one") as client:
        direct, ordinary = [await client.get(f"/{name}{query}") for name in ("direct", "ordinary")]

    assert (direct.status_code, direct.headers, direct.content) == (status, ordinary.headers, ordinary.content)


def test_it_is_described_as_the_framework_does() -> None:
    app = guarded()

    paths = app.openapi()["paths"]

    described = str(paths["/direct"]).replace("Direct", "Ordinary").replace("direct", "ordinary")
    assert described == str(paths["/ordinary"])


async def test_nobody_is_answered_where_no_guard_stands() -> None:
    app = FastAPI()
    problems.install(app)
    add_both(app)

    async with calling(app) as client:
        assert [(await client.get(f"/{name}")).status_code for name in ("direct", "ordinary")] == [401, 401]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused_alike(method: str) -> None:
    async with calling(guarded(), Authorization="Bearer one") as client:
        direct, ordinary = [await client.request(method, f"/{name}") for name in ("direct", "ordinary")]

    assert (direct.status_code, direct.headers, direct.content) == (405, ordinary.headers, ordinary.content)
