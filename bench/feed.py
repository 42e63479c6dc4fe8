"""A feed page over HTTP, with a million rows, against the bare framework that returns the same bytes."""

import asyncio
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
from inbox_api.app import MIGRATIONS
from spacehub import migrating
from spacehub.testing.issuing import AUDIENCE, ISSUER, Issuer
from spacehub_dev.provisioning import apt

from bench.ground import NO_BROKER, Ground, output, port
from bench.measuring import Findings, Goal, Meter, Sample, Unavailable, Way, in_turns, middle, ratio, spread

ROWS = 1_000_000
USERS = 10_000
CALLERS = 100
CONNECTIONS = 16
SECONDS = 5
ROUNDS = 5

OURS, BARE = "a feed page of 20 rows", "FastAPI, returning the same bytes"

_FEEDS = """
INSERT INTO feeds (user_id, last_seq, unread)
SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(number), 12, '0'))::uuid, $2, 7
FROM generate_series(1, $1::integer) AS number"""
_NOTIFICATIONS = """
INSERT INTO notifications (id, user_id, seq, type, title, body, link, created_at)
SELECT gen_random_uuid(), user_id, seq, 'bill.issued', 'Төлбөр',
       '11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.', 'spacehub://bills/A1201-' || seq,
       now() - make_interval(hours => ($1 - seq)::integer)
FROM feeds, generate_series(1, $1::bigint) AS seq"""


async def measure(ground: Ground) -> Findings:
    """One process each, the same server settings, the same headers, wrk as the client."""
    wrk = await _wrk(ground)
    issuer = Issuer()
    keys = ground.directory / "jwks.json"
    keys.write_bytes(issuer.jwks())
    users = [UUID(int=number) for number in range(1, USERS, USERS // CALLERS)]
    tokens = [issuer.token(user, exp=int(time.time()) + 3600) for user in users]
    script = ground.directory / "callers.lua"
    script.write_text(_SCRIPT % ", ".join(f'"Bearer {token}"' for token in tokens))
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(ground.database(lambda url: migrating.upgrade(MIGRATIONS, url)))
        await _fill(url)
        ours, bare = [await stack.enter_async_context(port()) for _ in range(2)]
        told = {
            "DATABASE_URL": url,
            "AMQP_URL": NO_BROKER,
            "HTTP_PORT": str(ours),
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "JWT_JWKS_FILE": str(keys),
        }
        pid = await stack.enter_async_context(ground.ours("inbox-api serve", told))
        constant = ground.directory / "page.json"
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(_url(ours), headers={"Authorization": f"Bearer {tokens[0]}"})
        assert len(page.json()["items"]) == 20
        constant.write_bytes(page.content)
        command = [sys.executable, "-m", "bench.bare_page", str(bare), str(constant)]
        ready = f"http://127.0.0.1:{bare}/readyz"
        peer = await stack.enter_async_context(ground.program("bare page", command, {}, ready=ready, cwd=_ROOT))
        server = (await ground.postgres()).pid
        servers = [] if server is None else [server]
        busy: dict[str, list[Sample]] = {OURS: [], BARE: []}
        ways = {
            OURS: _way(wrk, script, ours, pid, servers, busy[OURS]),
            BARE: _way(wrk, script, bare, peer, servers, busy[BARE]),
        }
        for way in ways.values():
            await way()
        samples = await in_turns(ways, rounds=ROUNDS)
    return Findings(
        goals=[
            Goal("a feed page / the bare framework", ratio(samples[OURS], samples[BARE]), 0.6),
            Goal("the same by pages per second of our own CPU", ratio(samples[OURS], samples[BARE], _per_cpu)),
        ],
        head=["way", "pages/s", "µs of its own CPU a page", "µs of PostgreSQL's CPU a page"],
        rows=[
            [
                name,
                spread(found),
                spread(found, _cpu),
                f"{middle(busy[name][1:], _cpu):,.0f}" if servers else "not ours to see",
            ]
            for name, found in samples.items()
        ],
        notes=[
            f"{ROWS:,} rows of {USERS:,} users, {CALLERS} of them asking for their newest 20 ({len(page.content):,}"
            f" bytes) over {CONNECTIONS} connections, each with a token that is verified."
        ],
    )


_ROOT = Path(__file__).resolve().parents[1]
_SCRIPT = """
local tokens = {%s}
local next = 0
request = function()
  next = next %% #tokens + 1
  return wrk.format("GET", nil, {["Authorization"] = tokens[next]})
end
"""


def _cpu(sample: Sample) -> float:
    return sample.cpu_each


def _per_cpu(sample: Sample) -> float:
    return 1 / sample.cpu_each


def _way(wrk: str, script: Path, number: int, pid: int, servers: Sequence[int], busy: list[Sample]) -> Way:
    async def way() -> Sample:
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), _url(number)]
        serving, meter = Meter(servers), Meter([pid])
        told = await output(command)
        assert "Non-2xx" not in told, told
        requests = re.search(r"(\d+) requests in", told)
        assert requests is not None, told
        sample = meter.read(int(requests[1]))
        busy.append(serving.read(sample.count) if servers else sample)
        return sample

    return way


def _url(number: int) -> str:
    return f"http://127.0.0.1:{number}/v2/notifications"


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_FEEDS, USERS, ROWS // USERS)
    await connection.execute(_NOTIFICATIONS, ROWS // USERS)
    await connection.execute("VACUUM ANALYZE notifications")
    await connection.execute("VACUUM ANALYZE feeds")
    await connection.close()


async def _wrk(ground: Ground) -> str:
    """The HTTP client. Raises Unavailable."""
    if shutil.which("wrk") is None:
        try:
            await asyncio.to_thread(apt.install, "wrk", report=ground.report)
        except apt.AptUnavailable as reason:
            raise Unavailable(f"wrk: {reason}") from None
    return shutil.which("wrk") or "wrk"
