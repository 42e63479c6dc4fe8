"""Access tokens: fetched early, once, and without a word of the endpoint in what is raised."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from push_sender.access import Access, NoAccess, service_account
from spacehub.testing.raw_server import Line, RawServer, raw_server

from .conftest import write_key

Answer = Callable[[Line], Awaitable[None]]


class Endpoint:
    """A token endpoint that gives tokens until told otherwise."""

    def __init__(self) -> None:
        self.server: RawServer
        self.answers = "200 OK"
        self.given = 0

    async def script(self, line: Line) -> None:
        while True:
            await line.read_request()
            self.given += 1
            content = f'{{"access_token":"token-{self.given}","expires_in":3599,"error":"invalid_grant"}}'
            await line.reply(self.answers, content.encode(), "Content-Type: application/json")


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    async with raw_server(endpoint.script) as endpoint.server:
        yield endpoint


@pytest.fixture
async def access(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Access]:
    key = write_key(tmp_path / "key.json", token_uri=f"{endpoint.server.url}/token")
    access = Access(lambda: service_account(key))
    yield access
    access.close()


def expires_in(access: Access, left: timedelta) -> None:
    """Pretend that the token in hand has so much life left."""
    access._credential.expiry = datetime.now(UTC).replace(tzinfo=None) + left


async def test_token_is_fetched_once_and_kept(access: Access, endpoint: Endpoint) -> None:
    tokens = {await access.token() for _ in range(3)}

    assert tokens == {"token-1"}


async def test_token_is_fetched_again_before_it_runs_out(access: Access, endpoint: Endpoint) -> None:
    await access.token()
    expires_in(access, timedelta(minutes=1))

    assert await access.token() == "token-2"


async def test_token_that_still_works_is_used_while_the_endpoint_is_away(access: Access, endpoint: Endpoint) -> None:
    await access.token()
    expires_in(access, timedelta(minutes=1))
    endpoint.answers = "400 Bad Request"

    assert await access.token() == "token-1"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [("400 Bad Request", "credentials_refused"), ("401 Unauthorized", "credentials_refused")],
)
async def test_refusal_is_our_fault(access: Access, endpoint: Endpoint, answers: str, reason: str) -> None:
    endpoint.answers = answers

    with pytest.raises(NoAccess) as refusal:
        await access.token()

    assert refusal.value.reason == reason
    assert "invalid_grant" not in str(refusal.value)


async def test_endpoint_that_cannot_be_reached_is_away(tmp_path: Path) -> None:
    async with raw_server(lambda line: line.wait_for_the_end()) as gone:
        key = write_key(tmp_path / "key.json", token_uri=f"{gone.url}/token")
    access = Access(lambda: service_account(key))

    with pytest.raises(NoAccess) as absence:
        await access.token()
    access.close()

    assert absence.value.reason == "token_endpoint_away"


async def test_token_that_fcm_refused_is_not_used_again(access: Access, endpoint: Endpoint) -> None:
    access.refused(await access.token())

    assert await access.token() == "token-2"


async def test_refusal_of_an_older_token_leaves_the_newer_one(access: Access, endpoint: Endpoint) -> None:
    older = await access.token()
    access.refused(older)
    newer = await access.token()

    access.refused(older)

    assert await access.token() == newer


async def test_key_that_takes_the_place_of_another_is_used_for_the_next_token(
    access: Access, endpoint: Endpoint, tmp_path: Path
) -> None:
    await access.token()
    async with raw_server(endpoint.script) as elsewhere:
        write_key(tmp_path / "key.json", token_uri=f"{elsewhere.url}/token")
        expires_in(access, timedelta(minutes=1))
        token = await access.token()

    assert token == "token-2"
    assert (len(endpoint.server.requests), len(elsewhere.requests)) == (1, 1)


async def test_key_that_cannot_be_read_leaves_the_last_one(access: Access, endpoint: Endpoint, tmp_path: Path) -> None:
    await access.token()
    (tmp_path / "key.json").write_text("{")
    expires_in(access, timedelta(minutes=1))

    assert await access.token() == "token-2"
