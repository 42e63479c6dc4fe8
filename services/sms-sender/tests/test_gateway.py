"""The gateway's client against real sockets: what it sends, that it sends it once, and how it hears the answer."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from sms_sender.account import Account
from sms_sender.fates import CredentialsRefused, GatewayUnavailable, NoAnswer, RateLimited, Refused
from sms_sender.gateway import Gateway, open_gateway
from sms_sender.replies import load_grammar
from spacehub.testing.raw_server import Line, RawServer, raw_server

PHONE, TEXT = "97699112233", "Spacehub код: 482913. 5 мин дотор оруулна уу."


@asynccontextmanager
async def gateway_at(server: RawServer, *, connections: int = 50) -> AsyncIterator[Gateway]:
    account = Account(url=f"{server.url}/sms", username="spacehub", password="s3cret", sender="131344")
    async with open_gateway(account, grammar=load_grammar("131344"), connections=connections) as gateway:
        yield gateway


async def accept_one(line: Line) -> None:
    await line.read_request()
    await line.reply("200 OK", b'{"result":"OK","messageId":"m-1"}')


async def accept_all(line: Line) -> None:
    while True:
        await accept_one(line)


async def test_carrier_gets_the_form_and_its_answer_is_understood() -> None:
    async with raw_server(accept_all) as carrier, gateway_at(carrier) as gateway:
        accepted = await gateway.send(PHONE, TEXT)

    assert accepted.message_id == "m-1"
    assert accepted.duration > timedelta()
    head, _, form = carrier.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /sms HTTP/1.1\r\n")
    assert b"content-type: application/x-www-form-urlencoded" in head.lower()
    assert parse_qs(form.decode(), strict_parsing=True) == {
        "username": ["spacehub"],
        "password": ["s3cret"],
        "from": ["131344"],
        "to": [PHONE],
        "text": [TEXT],
    }


async def test_password_is_the_one_that_holds_at_the_call() -> None:
    passwords = iter(["old", "new"])

    async with raw_server(accept_all) as carrier:
        account = Account(f"{carrier.url}/sms", "spacehub", lambda: next(passwords), "131344")
        async with open_gateway(account, grammar=load_grammar("131344")) as gateway:
            await gateway.send(PHONE, TEXT)
            await gateway.send(PHONE, TEXT)

    forms = [parse_qs(request.partition(b"\r\n\r\n")[2].decode()) for request in carrier.requests]
    assert [form["password"] for form in forms] == [["old"], ["new"]]


async def test_half_a_surrogate_pair_is_refused_before_anything_is_sent() -> None:
    async with raw_server(accept_all) as carrier, gateway_at(carrier) as gateway:
        with pytest.raises(Refused, match="rejected_text"):
            await gateway.send(PHONE, "broken \ud83d letter")

    assert carrier.connections == 0


async def test_connections_are_reused_up_to_their_number() -> None:
    async with raw_server(accept_all) as carrier, gateway_at(carrier, connections=3) as gateway:
        await asyncio.gather(*(gateway.send(PHONE, TEXT) for _ in range(30)))

    assert len(carrier.requests) == 30
    assert carrier.connections <= 3


async def test_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(accept_all) as proxy, raw_server(accept_all) as carrier, gateway_at(carrier) as gateway:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("all_proxy", proxy.url)

        await gateway.send(PHONE, TEXT)

    assert (len(carrier.requests), len(proxy.requests)) == (1, 0)


async def test_connection_closed_while_idle_costs_nothing() -> None:
    closed = asyncio.Event()

    async def accept_one_and_close(line: Line) -> None:
        await accept_one(line)
        line.writer.close()
        await line.writer.wait_closed()
        closed.set()

    async with raw_server(accept_one_and_close) as carrier, gateway_at(carrier) as gateway:
        for _ in range(3):
            closed.clear()
            await gateway.send(PHONE, TEXT)
            await closed.wait()
            await asyncio.sleep(0)  # our side hears of the close in the loop's next round

    assert (len(carrier.requests), carrier.connections) == (3, 3)


async def test_kept_connection_that_closes_on_the_next_text_is_ambiguous_and_not_sent_again() -> None:
    async def close_on_the_second(line: Line) -> None:
        await accept_one(line)
        await line.read_request()

    async with raw_server(close_on_the_second) as carrier, gateway_at(carrier) as gateway:
        await gateway.send(PHONE, TEXT)
        with pytest.raises(NoAnswer, match="connection_lost"):
            await gateway.send(PHONE, TEXT)

    assert (len(carrier.requests), carrier.connections) == (2, 1)


async def test_answer_nobody_asked_for_is_not_taken_for_the_next_texts() -> None:
    said = asyncio.Event()

    async def answer_twice(line: Line) -> None:
        await accept_one(line)
        await line.reply("200 OK", b'{"result":"OK","messageId":"ghost"}')
        said.set()
        await accept_one(line)

    async with raw_server(answer_twice) as carrier, gateway_at(carrier) as gateway:
        first = await gateway.send(PHONE, TEXT)
        await said.wait()
        await asyncio.sleep(0)  # the stray answer is in our socket: the loop's next round reads it
        second = await gateway.send(PHONE, TEXT)

    assert (first.message_id, second.message_id) == ("m-1", "m-1")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirect_is_not_followed(status: str) -> None:
    async with raw_server(accept_all) as elsewhere:

        async def redirect(line: Line) -> None:
            await line.read_request()
            await line.reply(status, b"", f"Location: {elsewhere.url}/sms")

        async with raw_server(redirect) as carrier, gateway_at(carrier) as gateway:
            with pytest.raises((GatewayUnavailable, NoAnswer)):
                await gateway.send(PHONE, TEXT)

    assert (len(carrier.requests), elsewhere.connections) == (1, 0)


async def test_refusals_are_told_apart() -> None:
    async def answer(line: Line) -> None:
        await line.read_request()
        await line.reply("401 Unauthorized", b'{"result":"ERROR","code":"AUTH"}')
        await line.read_request()
        await line.reply("400 Bad Request", b'{"result":"ERROR","code":"INVALID_TO"}')
        await line.read_request()
        await line.reply("503 Service Unavailable")
        await line.read_request()
        await line.reply("429 Too Many Requests", b"", "Retry-After: 17")

    async with raw_server(answer) as carrier, gateway_at(carrier) as gateway:
        with pytest.raises(CredentialsRefused):
            await gateway.send(PHONE, TEXT)
        with pytest.raises(Refused, match="invalid_phone"):
            await gateway.send(PHONE, TEXT)
        with pytest.raises(GatewayUnavailable, match="status_503"):
            await gateway.send(PHONE, TEXT)
        with pytest.raises(RateLimited) as limited:
            await gateway.send(PHONE, TEXT)

    assert limited.value.retry_in == timedelta(seconds=17)


async def test_no_error_speaks_of_phone_text_or_password() -> None:
    async def echo(line: Line) -> None:
        form = (await line.read_request()).partition(b"\r\n\r\n")[2]
        await line.send(b"HTTP/1.1 you said " + form + b"\r\n\r\n")

    async with raw_server(echo) as carrier, gateway_at(carrier) as gateway:
        with pytest.raises(NoAnswer) as silence:
            await gateway.send(PHONE, TEXT)

    told = "".join(traceback.format_exception(silence.value))
    assert not [secret for secret in (PHONE, "482913", "s3cret") if secret in told]
