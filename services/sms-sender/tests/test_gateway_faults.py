"""A carrier that fails, at each moment of a request: before it could be read it is unsent, from then on ambiguous."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sms_sender.account import Account
from sms_sender.fates import GatewayUnavailable, NoAnswer
from sms_sender.gateway import Gateway, open_gateway
from sms_sender.replies import load_grammar
from spacehub.testing.raw_server import Line, RawServer, Script, raw_server

PHONE, TEXT = "97699112233", "Spacehub код: 482913. 5 мин дотор оруулна уу."


@asynccontextmanager
async def gateway_at(url: str, *, deadline: float, connections: int = 50) -> AsyncIterator[Gateway]:
    account = Account(url=url, username="spacehub", password="s3cret", sender="131344")
    limit = timedelta(seconds=deadline)
    async with open_gateway(account, grammar=load_grammar("131344"), deadline=limit, connections=connections) as it:
        yield it


# Definitely unsent


async def unsent(url: str, *, deadline: float = 5.0) -> str:
    async with gateway_at(url, deadline=deadline) as gateway:
        with pytest.raises(GatewayUnavailable) as failure:
            await gateway.send(PHONE, TEXT)
    return failure.value.reason


async def test_refused_connection_is_unsent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port

        assert await unsent(f"http://127.0.0.1:{unused.getsockname()[1]}") == "connect_failed"


async def test_unknown_name_is_unsent() -> None:
    assert await unsent("https://gateway.invalid", deadline=1.0) in ("connect_failed", "connect_timeout")


async def test_connect_timeout_is_unsent() -> None:
    with deaf_port() as port:
        assert await unsent(f"http://127.0.0.1:{port}", deadline=0.2) == "connect_timeout"


async def test_tls_handshake_that_hangs_is_unsent() -> None:
    async with raw_server(Line.wait_for_the_end) as carrier:
        assert await unsent(secure(carrier), deadline=0.2) == "connect_timeout"


async def test_handshake_that_is_not_tls_is_unsent() -> None:
    async with raw_server(lambda line: line.send(b"220 SMTP ready\r\n")) as carrier:
        assert await unsent(secure(carrier)) == "tls_failed"


async def test_connection_reset_in_the_handshake_is_unsent() -> None:
    async def reset(line: Line) -> None:
        await line.reader.read(1)
        line.reset()

    async with raw_server(reset) as carrier:
        assert await unsent(secure(carrier)) in ("connect_failed", "tls_failed")


async def test_certificate_of_a_stranger_is_unsent(tmp_path: Path) -> None:
    async with raw_server(Line.wait_for_the_end, tls=strangers_certificate(tmp_path)) as carrier:
        assert await unsent(carrier.url) == "tls_failed"


async def test_text_that_finds_no_free_connection_is_unsent() -> None:
    async def hang(line: Line) -> None:
        await line.read_request()
        await line.wait_for_the_end()

    async with raw_server(hang) as carrier, gateway_at(carrier.url, deadline=0.4, connections=1) as gateway:
        outcomes = await asyncio.gather(*(gateway.send(PHONE, TEXT) for _ in range(2)), return_exceptions=True)

    assert sorted(repr(outcome) for outcome in outcomes) == [
        "GatewayUnavailable('connect_timeout')",
        "NoAnswer('timeout')",
    ]
    assert len(carrier.requests) == 1


# Ambiguous


async def ambiguous(script: Script, *, deadline: float = 5.0) -> tuple[str, RawServer]:
    async with raw_server(script) as carrier, gateway_at(carrier.url, deadline=deadline) as gateway:
        with pytest.raises(NoAnswer) as silence:
            await gateway.send(PHONE, TEXT)
    assert carrier.connections == 1, "tried a second time"
    return silence.value.reason, carrier


async def test_reset_after_the_request_was_read_is_ambiguous() -> None:
    async def read_and_reset(line: Line) -> None:
        await line.read_request()
        line.reset()

    reason, carrier = await ambiguous(read_and_reset)

    assert reason == "connection_lost"
    assert len(carrier.requests) == 1


async def test_reset_with_the_request_half_read_is_ambiguous() -> None:
    async def reset(line: Line) -> None:
        await line.reader.read(1)
        line.reset()

    assert (await ambiguous(reset))[0] == "connection_lost"


async def test_close_without_a_word_is_ambiguous() -> None:
    async def read_and_close(line: Line) -> None:
        await line.read_request()

    assert (await ambiguous(read_and_close))[0] == "connection_lost"


async def test_silence_until_the_deadline_is_ambiguous() -> None:
    async def hang(line: Line) -> None:
        await line.read_request()
        await line.wait_for_the_end()

    assert (await ambiguous(hang, deadline=0.2))[0] == "timeout"


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["body", "headers", "interim replies"],
)
async def test_trickle_does_not_stretch_the_deadline(start: bytes, drop: bytes) -> None:
    async def trickle(line: Line) -> None:
        await line.read_request()
        await line.send(start)
        while True:
            await line.send(drop)
            await asyncio.sleep(0.01)

    assert (await ambiguous(trickle, deadline=0.3))[0] == "timeout"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200",
        b'HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n{"result":"OK"',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n{"result":"OK"',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"result":"OK"}',
        b"SMS/9.9 sent\r\n\r\n",
        b"\x00" * 64,
    ],
    ids=["half a status", "half a body", "half a chunk", "no chunk", "not HTTP", "noise"],
)
async def test_broken_reply_is_ambiguous(reply: bytes) -> None:
    async def break_off(line: Line) -> None:
        await line.read_request()
        await line.send(reply)

    assert (await ambiguous(break_off))[0] == "connection_lost"


async def test_reply_without_an_end_is_not_read_on() -> None:
    async def flood(line: Line) -> None:
        await line.read_request()
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await line.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    assert (await ambiguous(flood, deadline=60.0))[0] == "unreadable_reply"


async def test_reply_that_says_nothing_is_ambiguous() -> None:
    async def garbage(line: Line) -> None:
        await line.read_request()
        await line.reply("200 OK", b"\x8f\x00<html>")

    assert (await ambiguous(garbage))[0] == "unreadable_reply"


# Carriers of other kinds


def secure(carrier: RawServer) -> str:
    return carrier.url.replace("http:", "https:")


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: a further one is neither accepted nor refused."""
    with contextlib.ExitStack() as sockets:
        deaf = sockets.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        yield deaf.getsockname()[1]


def strangers_certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    ).sign(key, hashes.SHA256())
    pem = folder / "stranger.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
