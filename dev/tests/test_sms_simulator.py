"""The 131344 simulator, from outside: what the gateway answers, what it remembers, and each way it can fail."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from aiohttp import web
from spacehub.testing.waiting import eventually
from spacehub_dev.simulators.sms import Login, sms_simulator

TEXT = "Spacehub код: 482913. 5 мин дотор оруулна уу."
SMS = {"username": "spacehub", "password": "s3cret", "from": "131344", "to": "97699112233", "text": TEXT}


@pytest.fixture
async def simulator() -> AsyncIterator[httpx.AsyncClient]:
    """A fresh simulator, and a client that speaks to it."""
    runner = web.AppRunner(
        sms_simulator(Login("spacehub", "s3cret")), handler_cancellation=True, shutdown_timeout=0.1, access_log=None
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with httpx.AsyncClient(base_url=site.name, timeout=5.0, trust_env=False) as client:
        yield client
    await runner.cleanup()


async def behave(simulator: httpx.AsyncClient, **behaviour: Any) -> None:
    answer = await simulator.put("/control/behaviour", json=behaviour)
    assert answer.status_code == 200, answer.text


async def accepted(simulator: httpx.AsyncClient, since: int = 0) -> list[dict[str, str]]:
    page = (await simulator.get("/control/messages", params={"since": since})).json()
    messages: list[dict[str, str]] = page["messages"]
    return messages


async def test_good_sms_is_accepted_and_remembered_whole(simulator: httpx.AsyncClient) -> None:
    before = datetime.now(UTC)

    answer = await simulator.post("/sms", data=SMS)

    assert answer.status_code == 200
    assert answer.json()["result"] == "OK"
    (message,) = await accepted(simulator)
    assert before <= datetime.fromisoformat(message.pop("receivedAt")) <= before + timedelta(minutes=1)
    assert message == {"to": "97699112233", "from": "131344", "text": TEXT, "messageId": answer.json()["messageId"]}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"password": "wrong"}, 401, "AUTH"),
        ({"username": "else"}, 401, "AUTH"),
        ({"to": "99112233"}, 400, "INVALID_TO"),
        ({"to": "976991122334"}, 400, "INVALID_TO"),
        ({"to": "+97699112233"}, 400, "INVALID_TO"),
        ({"to": "97699112233\n"}, 400, "INVALID_TO"),
        ({"to": ""}, 400, "INVALID_TO"),
        ({"text": ""}, 400, "INVALID_REQUEST"),
    ],
)
async def test_bad_sms_is_refused(simulator: httpx.AsyncClient, change: dict[str, str], status: int, code: str) -> None:
    answer = await simulator.post("/sms", data={**SMS, **change})

    assert (answer.status_code, answer.json()) == (status, {"result": "ERROR", "code": code})
    assert await accepted(simulator) == []


async def test_json_is_no_form(simulator: httpx.AsyncClient) -> None:
    assert (await simulator.post("/sms", json=SMS)).status_code == 401


async def test_messages_are_read_on_from_a_place_that_stays(simulator: httpx.AsyncClient) -> None:
    for number in range(3):
        await simulator.post("/sms", data={**SMS, "text": str(number)})
    place = (await simulator.get("/control/messages")).json()["next"]

    await simulator.delete("/control/messages")
    for number in range(3, 5):
        await simulator.post("/sms", data={**SMS, "text": str(number)})

    assert [message["text"] for message in await accepted(simulator)] == ["3", "4"]
    assert [message["text"] for message in await accepted(simulator, since=place)] == ["3", "4"]
    assert [message["text"] for message in await accepted(simulator, since=place + 1)] == ["4"]
    assert await accepted(simulator, since=1000) == []
    assert (await simulator.get("/control/messages", params={"since": "-1"})).status_code == 400


@pytest.mark.parametrize(
    ("mode", "code"), [("500", "INTERNAL"), ("503", "UNAVAILABLE"), ("429", "TOO_MANY_REQUESTS"), ("401", "AUTH")]
)
async def test_status_mode_answers_so_and_takes_nothing(simulator: httpx.AsyncClient, mode: str, code: str) -> None:
    await behave(simulator, mode=mode)

    answer = await simulator.post("/sms", data=SMS)

    assert (answer.status_code, answer.json()) == (int(mode), {"result": "ERROR", "code": code})
    assert "Retry-After" not in answer.headers
    assert await accepted(simulator) == []


@pytest.mark.parametrize(("mode", "expected"), [("429", "7"), ("503", "7"), ("500", None)])
async def test_retry_after_goes_with_429_and_503(simulator: httpx.AsyncClient, mode: str, expected: str | None) -> None:
    await behave(simulator, mode=mode, retry_after=7)

    assert (await simulator.post("/sms", data=SMS)).headers.get("Retry-After") == expected


async def test_count_ends_a_behaviour(simulator: httpx.AsyncClient) -> None:
    await behave(simulator, mode="503", count=2)

    statuses = [(await simulator.post("/sms", data=SMS)).status_code for _ in range(4)]

    assert statuses == [503, 503, 200, 200]


async def test_garbage_takes_the_sms_and_answers_nonsense(simulator: httpx.AsyncClient) -> None:
    await behave(simulator, mode="garbage")

    answer = await simulator.post("/sms", data=SMS)

    assert answer.status_code == 200
    with pytest.raises(ValueError):  # noqa: PT011  # the words are the JSON reader's
        answer.json()
    assert len(await accepted(simulator)) == 1


async def test_accept_then_reset_takes_the_sms_and_resets_the_connection(simulator: httpx.AsyncClient) -> None:
    await behave(simulator, mode="accept_then_reset")

    async with dialled(simulator) as line:
        with pytest.raises(ConnectionResetError):
            await line.read()

    assert len(await accepted(simulator)) == 1


async def test_bad_number_is_refused_also_when_good_ones_are_reset(simulator: httpx.AsyncClient) -> None:
    await behave(simulator, mode="accept_then_reset")

    assert (await simulator.post("/sms", data={**SMS, "to": "1"})).status_code == 400


async def test_hanging_request_is_closed_unanswered_when_the_behaviour_changes(simulator: httpx.AsyncClient) -> None:
    await behave(simulator, mode="hang", count=1)
    async with heard(simulator) as hanging:
        answer = await simulator.post("/sms", data=SMS)

        await behave(simulator, mode="ok")

        assert await hanging.read() == b""
    assert [message["messageId"] for message in await accepted(simulator)] == [answer.json()["messageId"]]


async def test_latency_delays_the_answer_not_the_acceptance(simulator: httpx.AsyncClient) -> None:
    await behave(simulator, latency_ms=60_000, count=1)

    async with heard(simulator) as waiting:
        await eventually(lambda: accepted(simulator))

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting.read(1), 0.05)


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "[]",
        '{"mode": "418"}',
        '{"mode": 500}',
        '{"mode": "ok", "latency_ms": -1}',
        '{"mode": "ok", "count": 0}',
        '{"mode": "ok", "retry_after": "soon"}',
        '{"mode": "ok", "speed": 9}',
    ],
)
async def test_nonsense_changes_nothing(simulator: httpx.AsyncClient, nonsense: str) -> None:
    await behave(simulator, mode="500")

    refusal = await simulator.put("/control/behaviour", content=nonsense)

    assert refusal.status_code == 422
    assert refusal.json()["error"]
    assert (await simulator.post("/sms", data=SMS)).status_code == 500


async def test_process_takes_its_login_from_the_environment_and_stops_on_sigterm() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("spacehub-dev")),
        *("simulate", "sms", "--port", str(port)),
        env={"SIMULATOR_USERNAME": "spacehub", "SIMULATOR_PASSWORD": "s3cret"},
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            async def up() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(up)
            assert (await client.post("/sms", data=SMS)).status_code == 200
            await behave(client, mode="hang")
            async with heard(client) as hanging:
                process.send_signal(signal.SIGTERM)

                assert await process.wait() == 0
                assert await hanging.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def dialled(simulator: httpx.AsyncClient, *headers: str) -> AsyncIterator[asyncio.StreamReader]:
    """A plain socket with a good SMS written to it."""
    form = urlencode(SMS)
    lines = [
        "POST /sms HTTP/1.1",
        "Host: simulator",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(form)}",
        *headers,
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.base_url.port)
    writer.write("\r\n".join([*lines, "", form]).encode())
    try:
        yield reader
    finally:
        writer.close()


@asynccontextmanager
async def heard(simulator: httpx.AsyncClient) -> AsyncIterator[asyncio.StreamReader]:
    """The same, once the simulator has begun with it: it says 100 Continue just before."""
    async with dialled(simulator, "Expect: 100-continue") as reader:
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        yield reader
