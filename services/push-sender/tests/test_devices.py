"""Asking devices-api, which may be away in many ways."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from push_sender.device import Device
from push_sender.devices import DevicesApi, devices_api
from push_sender.testing import BOLD, SARAA
from pydantic import SecretStr
from spacehub.errors import Away
from spacehub.secret import MountedSecret
from spacehub.testing.raw_server import Line, raw_server

RESOLVED_AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ANSWER = {
    "resolvedAt": RESOLVED_AT.isoformat(),
    "devices": {
        str(BOLD): [
            {"token": "t-1", "platform": "ios", "kind": "token"},
            {"token": "f-1", "platform": "android", "kind": "fid"},
        ],
        str(SARAA): [],
    },
}


@asynccontextmanager
async def asking(url: str, *, timeout: float = 5) -> AsyncIterator[DevicesApi]:
    async with devices_api(url, secret=SecretStr("internal-secret"), timeout=timedelta(seconds=timeout)) as api:
        yield api


async def test_many_users_are_asked_for_in_one_authenticated_call() -> None:
    async def answer(line: Line) -> None:
        await line.read_request()
        await line.reply("200 OK", json.dumps(ANSWER).encode())

    async with raw_server(answer) as server, asking(server.url) as api:
        resolved = await api.resolve([BOLD, SARAA])

    assert resolved.at == RESOLVED_AT
    assert resolved.of(BOLD) == (Device("t-1", "ios"), Device("f-1", "android", "fid"))
    assert resolved.of(SARAA) == ()
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /internal/devices/resolve ")
    assert b"authorization: bearer internal-secret" in head.lower()
    assert json.loads(body) == {"userIds": [str(BOLD), str(SARAA)]}


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "422 No", "500 Internal", "503 Unavailable"])
async def test_every_other_answer_means_away(status: str) -> None:
    async def refuse(line: Line) -> None:
        await line.read_request()
        await line.reply(status, json.dumps(ANSWER).encode())

    async with raw_server(refuse) as server, asking(server.url) as api:
        with pytest.raises(Away, match=status[:3]):
            await api.resolve([BOLD])


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"resolvedAt":"2026-11-23T09:00:00Z","devices":{"x":[{"token":"secret-token"}]}}'],
)
async def test_answer_that_cannot_be_read_means_away_and_is_not_quoted(body: bytes) -> None:
    async def answer(line: Line) -> None:
        await line.read_request()
        await line.reply("200 OK", body)

    async with raw_server(answer) as server, asking(server.url) as api:
        with pytest.raises(Away) as away:
            await api.resolve([BOLD])

    assert "secret-token" not in repr(away.value)
    assert away.value.__cause__ is None


async def test_silence_means_away() -> None:
    async with raw_server(lambda line: line.wait_for_the_end()) as server, asking(server.url, timeout=0.2) as api:
        with pytest.raises(Away):
            await api.resolve([BOLD])


async def test_nobody_there_means_away() -> None:
    async with raw_server(lambda line: line.wait_for_the_end()) as gone:
        pass

    async with asking(gone.url) as api:
        with pytest.raises(Away):
            await api.resolve([BOLD])


async def test_first_of_two_secrets_is_shown_and_each_call_shows_it_as_it_is_then(tmp_path: Path) -> None:
    async def answer(line: Line) -> None:
        while True:
            await line.read_request()
            await line.reply("200 OK", json.dumps(ANSWER).encode())

    file = tmp_path / "secret"
    file.write_text("old-secret new-secret")
    secret = MountedSecret(file)
    async with (
        raw_server(answer) as server,
        devices_api(server.url, secret=secret, timeout=timedelta(seconds=5)) as api,
    ):
        await api.resolve([BOLD])
        file.write_text("new-secret")
        await api.resolve([BOLD])

    shown = [request.lower().partition(b"authorization: ")[2].partition(b"\r")[0] for request in server.requests]
    assert shown == [b"bearer old-secret", b"bearer new-secret"]
