"""Whatever bytes come in at the public entry, an API sees whole requests to public paths and nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub_dev.provisioning.haproxy import GatewayTokens

from tests.gateway import Apis, Gateway, a_gateway, both_apis

TOKEN = Issuer().token("0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01", exp=2**52).encode()
SMUGGLED = b"GET /internal/devices/resolve HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /v2/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN + b"\r\n"

SMUGGLING = {
    "a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 60\r\n\r\n0\r\n\r\n",
    "chunks by another name": b"Content-Length: 0\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunks and identity": b"Content-Length: 0\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a tab before the value": b"Content-Length: 0\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"Content-Length: 0\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a lone line feed": b"X: y\nContent-Length: 0\r\n\r\n",
    "a lone carriage return": b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "a zero byte": b"X: \x00\r\nContent-Length: 0\r\n\r\n",
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": b"Content-Length: 0x0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n",
    "two lengths in one": b"Content-Length: 0, 60\r\n\r\n",
    "a length beyond counting": b"Content-Length: 18446744073709551616\r\n\r\n",
    "a chunk's length beyond counting": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a chunk's length with a sign": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk that ends elsewhere": b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "another protocol": b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2 without a word": b"Content-Length: 0\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a promise of a body": b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(scope="module")
async def apis() -> AsyncIterator[Apis]:
    async with both_apis() as apis:
        yield apis


@pytest.fixture(scope="module")
async def gateway(apis: Apis, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with a_gateway(tmp_path_factory.mktemp("gateway"), apis, tokens=GatewayTokens(ISSUER, AUDIENCE)) as gateway:
        yield await gateway.ready()


def statuses(answers: bytes) -> list[int]:
    """The status of every answer on one connection, in order."""
    return [int(status) for status in re.findall(rb"HTTP/1[.]\d (\d{3}) ", answers)]


async def said(gateway: Gateway, request: bytes, *, patience: float = 0.5) -> bytes:
    """All that comes back for these bytes until nothing has come for a while, or the other side has hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request)
    answer = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), 20 if not answer else patience):
            answer += part
    except (TimeoutError, ConnectionResetError):
        pass
    writer.close()
    return answer


@pytest.mark.parametrize("rest", SMUGGLING.values(), ids=SMUGGLING)
async def test_no_request_hides_in_another(gateway: Gateway, apis: Apis, rest: bytes) -> None:
    before = len(apis.asked)

    answers = await said(gateway, HEAD + rest + SMUGGLED)

    assert set(apis.asked[before:]) <= {"/v2/devices"}
    assert statuses(answers).count(200) <= 1


@pytest.mark.parametrize("length", ["18446744073709551616", "18446744073709551617", "99999999999999999999999", "16385"])
async def test_a_length_beyond_the_limit_is_refused_however_long(gateway: Gateway, apis: Apis, length: str) -> None:
    before = len(apis.asked)

    answers = await said(gateway, HEAD + f"Content-Length: {length}\r\n\r\n".encode())

    assert statuses(answers) in ([413], [400])
    assert len(apis.asked) == before


async def test_requests_in_a_row_are_judged_one_by_one(gateway: Gateway, apis: Apis) -> None:
    plain = b"GET /v2/devices HTTP/1.1\r\nHost: x\r\n"
    before = len(apis.asked)

    whole = HEAD + b"Content-Length: 2\r\n\r\n{}"
    answers = await gateway.raw(whole + plain + b"\r\n" + SMUGGLED + HEAD + b"Connection: close\r\n\r\n")

    assert statuses(answers) == [200, 401, 404, 200]
    assert apis.asked[before:] == ["/v2/devices", "/v2/devices"]


@pytest.mark.parametrize(
    "request_line",
    [
        "GET //v2/devices",
        "GET /v2//devices",
        "GET /v2/%2e%2e/metrics",
        "GET /%76%32/devices",
        "GET /v2/devices%00",
        "GET /v2\\devices",
        "GET http://x//internal/devices/resolve",
        "CONNECT x:80",
        "CONNECT /v2/devices/../../metrics?",
        "PRI *",
        "OPTIONS *",
    ],
)
async def test_a_path_in_disguise_reaches_nobody(gateway: Gateway, apis: Apis, request_line: str) -> None:
    before = len(apis.asked)
    head = f"{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()

    answers = await said(gateway, head + b"Authorization: Bearer " + TOKEN + b"\r\n\r\n")

    assert apis.asked[before:] == []
    assert all(status >= 400 for status in statuses(answers))


async def test_http_1_0_is_served_and_the_connection_closed(gateway: Gateway) -> None:
    answer = await gateway.raw(b"GET /v2/devices HTTP/1.0\r\nAuthorization: Bearer " + TOKEN + b"\r\n\r\n")

    assert statuses(answer) == [200]


@pytest.mark.parametrize(
    "request_line", [b"GET /v2/devices\r\n", b"GET /v2/devices HTTP/3.1\r\n", b"\x16\x03\x01\x02\x00"]
)
async def test_what_speaks_another_language_is_refused(gateway: Gateway, request_line: bytes) -> None:
    answers = await said(gateway, request_line + b"\r\n\r\n")

    assert all(status >= 400 for status in statuses(answers))


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Long: " + b"x" * 70_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(200)),
        b"Cookie: " + b"a=b; " * 20_000 + b"\r\n",
        b"x" * 70_000 + b": y\r\n",
    ],
    ids=["a long one", "two hundred", "many cookies", "a long name"],
)
async def test_more_headers_than_any_request_of_ours_has_are_refused(
    gateway: Gateway, apis: Apis, headers: bytes
) -> None:
    before = len(apis.asked)

    answers = await said(gateway, HEAD + headers + b"Content-Length: 0\r\n\r\n")

    assert statuses(answers) in ([400], [])
    assert len(apis.asked) == before


async def test_chunks_without_end_are_cut_off_at_the_limit(gateway: Gateway, apis: Apis) -> None:
    before = len(apis.asked)

    answers = await said(
        gateway, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + (b"x" * 1000 + b"\r\n3e8\r\n") * 17
    )

    assert statuses(answers) == [413]
    assert len(apis.asked) == before


async def test_whoever_does_not_finish_is_hung_up_on(gateway: Gateway, apis: Apis) -> None:
    before = len(apis.asked)

    answers = await asyncio.gather(
        gateway.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\nxx"),
        gateway.raw(HEAD + b"Content-Length: 9000\r\n\r\nxx"),
        gateway.raw(HEAD),
    )

    assert [statuses(answer) for answer in answers] == [[408]] * 3
    assert len(apis.asked) == before


async def test_a_hostile_client_does_not_stop_the_others(tmp_path: Path, apis: Apis) -> None:
    with a_gateway(tmp_path, apis, tokens=GatewayTokens(ISSUER, AUDIENCE)) as gateway:
        await gateway.ready()
        lines = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(200)]
        for _, writer in lines:
            writer.write(HEAD)

        async with gateway.client(headers={"Authorization": f"Bearer {TOKEN.decode()}"}) as client:
            answer = await client.get("/v2/notifications")
        for _, writer in lines:
            writer.close()

    assert answer.status_code == 200


async def test_after_all_that_nobody_was_asked_for_anything_else(apis: Apis) -> None:
    assert set(apis.asked) <= {"/v2/devices", "/v2/notifications"}
