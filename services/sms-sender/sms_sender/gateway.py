"""The client of the 131344 gateway: one form post per text, never a second one, and what became of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import perf_counter
from types import SimpleNamespace
from urllib.parse import urlencode

import aiohttp
from spacehub.retry_after import retry_after
from spacehub.secret import now
from spacehub.tracing import spans

from sms_sender.account import Account
from sms_sender.fates import Accepted, GatewayUnavailable, NoAnswer, Refused
from sms_sender.replies import Grammar, read_reply

MOST_BYTES = 16 * 1024
"""A reply longer than this is not read on."""

HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept-Encoding": "identity",
    "User-Agent": "spacehub-sms-sender",
}

IDLE = 2.0
"""Seconds a connection may idle before we close it. Servers close idle ones too (after 5 s and more), and a text
that meets such a close may or may not have been read: closing first keeps that question rare."""


class Gateway:
    """The account at the carrier, over a pool of connections; made by `open_gateway`."""

    def __init__(
        self, account: Account, *, grammar: Grammar, session: aiohttp.ClientSession, deadline: timedelta
    ) -> None:
        self._account = account
        self._grammar = grammar
        self._session = session
        self._deadline = deadline.total_seconds()

    async def send(self, to: str, text: str) -> Accepted:
        """Ask the carrier once to deliver `text` to `to` (`976` + 8 digits), within the deadline.

        Raises Refused, NoAnswer, GatewayUnavailable, RateLimited or CredentialsRefused. Being cancelled tells nothing:
        the text may be out.
        """
        form = _form(self._account, to, text)
        attempt = SimpleNamespace(written=False)
        started = perf_counter()
        try:
            async with asyncio.timeout(self._deadline):
                status, body, retry_in = await self._post(form, attempt)
        except Exception as error:
            raise _fate(error, written=attempt.written) from None  # the library's words may quote the reply
        message_id = read_reply(self._grammar, status, body, retry_in=retry_in)
        return Accepted(message_id, timedelta(seconds=perf_counter() - started))

    async def _post(self, form: bytes, attempt: SimpleNamespace) -> tuple[int, bytes, timedelta | None]:
        async with self._session.post(
            self._account.url, data=form, allow_redirects=False, trace_request_ctx=attempt
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(MOST_BYTES):
                body += chunk
                if len(body) > MOST_BYTES:
                    body.clear()  # nothing that a grammar knows is this long
                    break
            return response.status, bytes(body), retry_after(response.headers)


@asynccontextmanager
async def open_gateway(
    account: Account, *, grammar: Grammar, connections: int = 50, deadline: timedelta = timedelta(seconds=10)
) -> AsyncIterator[Gateway]:
    """A gateway with at most `connections` requests at the carrier at once; one more waits, within its own deadline.

    `deadline` is for all of one text: name lookup, connecting, TLS, request, reply. Connecting may take half of it.
    """
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE)
    async with aiohttp.ClientSession(
        connector=connector,
        headers=HEADERS,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=deadline.total_seconds() / 2),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        trace_configs=[_noting_what_was_written(), *spans.of_calls()],
    ) as session:
        yield Gateway(account, grammar=grammar, session=session, deadline=deadline)


def _noting_what_was_written() -> aiohttp.TraceConfig:
    """Marks an attempt just before its first byte is written: until then it is definitely unsent, whatever the error.

    The library's error classes do not tell: a reset after writing and one before share a class.
    """

    async def note(
        _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        context.trace_request_ctx.written = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


def _form(account: Account, to: str, text: str) -> bytes:
    fields = {
        "username": account.username,
        "password": now(account.password),
        "from": account.sender,
        "to": to,
        "text": text,
    }
    try:
        return urlencode(fields).encode("ascii")
    except UnicodeEncodeError:
        raise Refused("rejected_text") from None  # half a surrogate pair is no text


def _fate(error: Exception, *, written: bool) -> Exception:
    if written:  # then no error of whatever kind proves that the carrier did not read it
        return NoAnswer("timeout" if isinstance(error, TimeoutError) else "connection_lost")
    if isinstance(error, TimeoutError):
        return GatewayUnavailable("connect_timeout")
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return GatewayUnavailable("tls_failed")
    if isinstance(error, aiohttp.ClientError | OSError):
        return GatewayUnavailable("connect_failed")
    return error
