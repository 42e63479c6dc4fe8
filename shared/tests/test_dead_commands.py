"""What a person does to dead letters is on record with who and why, and the commands never ask back."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from spacehub import auditing, topology
from spacehub.auditing import NOT_GIVEN, Note
from spacehub.cli.main import app
from spacehub.events.envelope import Event, write
from spacehub.events.requests import PushRequested
from spacehub.testing.broker import Broker, ids_of, lay
from spacehub.testing.serving import served
from spacehub.topology import BY_NAME
from typer.testing import CliRunner, Result

QUEUE = BY_NAME["push-sender.standard"]
WHO = ("--by", "Bat", "--reason", "the carrier is back")
NOW = datetime.now(UTC)


@pytest.fixture
async def laid(broker: Broker) -> Broker:
    """A broker with every queue there is, all empty."""
    await lay(broker.url)
    for queue in topology.queues():
        await broker.channel.queue_purge(queue.name)
    return broker


async def run(broker: Broker, *words: str, **environment: str) -> Result:
    """`spacehub dead …`, with nobody at a keyboard."""
    arguments = ("dead", *words, "--amqp-url", broker.url)
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)


async def put(broker: Broker, *names: str, reason: str = "unavailable") -> None:
    for number, name in enumerate(names, start=1):
        push = PushRequested(
            source="/billing",
            source_id=f"b-{number}",
            about="bill.issued",
            critical=False,
            expires_at=NOW + timedelta(hours=1),
            push_id=UUID(int=number),
            notification_id=UUID(int=number),
            user_id=UUID(int=9),
            title="t",
            body="secret text",
        )
        headers = {"x-reason": reason, "x-attempts": 6, "x-failed-at": NOW.isoformat(), "x-origin-queue": QUEUE.name}
        body = write(Event(name, "/inbox-api", push, NOW)).body
        await broker.put(
            QUEUE.dead, body, message_id=name, content_type="application/cloudevents+json", headers=headers
        )


async def notes(broker: Broker) -> list[Note]:
    return await auditing.notes(broker.url, newest=100)


@asynccontextmanager
async def inbox_api(known: Mapping[str, Any], status: int = 200) -> AsyncIterator[str]:
    """An API that knows when these deliveries' subjects were closed, for callers with the right token."""
    api = FastAPI()

    @api.get("/v2/ops/deliveries/{id}")
    async def delivery(id: str, request: Request) -> JSONResponse:
        if request.headers["authorization"] != "Bearer t0ken":
            return JSONResponse({}, 401)
        return JSONResponse({"id": id, "closedAt": known[id]}, status) if id in known else JSONResponse({}, 404)

    async with served(api) as url:
        yield url


async def test_redrive_is_on_record_before_and_after_with_who_and_why(laid: Broker) -> None:
    await put(laid, "m-1", "m-2", "m-3")

    done = await run(laid, "redrive", QUEUE.name, "--limit", "2", *WHO)

    begun, ended = await notes(laid)
    assert done.exit_code == 0, done.output
    assert (begun.by, begun.reason, begun.step, begun.queue) == ("Bat", "the carrier is back", "redrive", QUEUE.dead)
    assert begun.told == {"limit": 2, "rate": 50.0}
    assert (ended.deed, ended.step) == (begun.deed, "redriven")
    assert ended.told == {"sent": 2, "expired": 0, "withdrawn": 0}


async def test_discarding_is_on_record_too(laid: Broker) -> None:
    await put(laid, "m-1", "m-2")

    done = await run(laid, "discard", QUEUE.dead, *WHO)

    begun, ended = await notes(laid)
    assert "2 discarded" in done.output
    assert (begun.step, ended.step, ended.told, ended.by) == ("discard", "discarded", {"letters": 2}, "Bat")


async def test_who_and_why_may_be_left_out_and_nobody_is_asked(laid: Broker) -> None:
    await put(laid, "m-1")

    done = await run(laid, "redrive", QUEUE.name, LOGNAME="sara", USER="sara")

    begun, _ = await notes(laid)
    assert done.exit_code == 0, done.output
    assert (begun.by, begun.reason) == ("sara", NOT_GIVEN)


async def test_what_cannot_be_written_down_is_not_done(laid: Broker) -> None:
    await put(laid, "m-1")
    await laid.channel.queue_delete(topology.AUDIT)

    for verb in ("redrive", "discard"):
        done = await run(laid, verb, QUEUE.name, *WHO)
        assert done.exit_code == 1
        assert "Not done: rabbitmq: the audit was not written" in done.output

    await laid.holds(QUEUE.dead, 1)


async def test_dry_run_does_nothing_and_leaves_no_note(laid: Broker) -> None:
    await put(laid, "m-1", "m-2")

    done = await run(laid, "redrive", QUEUE.name, "--dry-run")

    assert done.exit_code == 0, done.output
    assert "2 would be sent back, 0 refused" in done.output
    await laid.holds(QUEUE.dead, 2)
    assert await notes(laid) == []


async def test_audit_can_be_read_again_and_again(laid: Broker) -> None:
    await put(laid, "m-1")
    await run(laid, "redrive", QUEUE.name, *WHO)

    first, second = await run(laid, "audit"), await run(laid, "audit", "--limit", "1")

    assert [line.split("  ")[2] for line in first.output.splitlines()] == [
        f"redrive {QUEUE.dead}",
        f"redriven {QUEUE.dead}",
    ]
    assert "by Bat: the carrier is back" in first.output
    assert second.output.splitlines() == first.output.splitlines()[1:]


async def test_request_whose_bill_was_paid_meanwhile_is_refused(laid: Broker) -> None:
    await put(laid, "paid", "open", "unknown")

    async with inbox_api({"paid": NOW.isoformat(), "open": None}) as url:
        done = await run(laid, "redrive", QUEUE.name, *WHO, SPACEHUB_API_URL=url, SPACEHUB_OPS_TOKEN="t0ken")

    assert "2 sent back, 0 refused because they have expired, 1 because they were withdrawn" in done.output
    assert ids_of(await laid.take(QUEUE.dead)) == ["paid"]


@pytest.mark.parametrize(("token", "status"), [("wr0ng", 200), ("t0ken", 500)])
async def test_api_that_does_not_answer_stops_the_redrive(laid: Broker, token: str, status: int) -> None:
    await put(laid, "m-1")

    async with inbox_api({"m-1": None}, status) as url:
        done = await run(laid, "redrive", QUEUE.name, SPACEHUB_API_URL=url, SPACEHUB_OPS_TOKEN=token)

    assert done.exit_code == 1
    assert "Not done: inbox-api: it answered" in done.output
    assert token not in done.output
    await laid.holds(QUEUE.dead, 1)


async def test_list_groups_reasons_with_their_counts(laid: Broker) -> None:
    await put(laid, "m-1", "m-2", reason="unavailable")
    await put(laid, "m-3", reason="retries_exhausted")

    listed = await run(laid, "list")

    [row] = [line for line in listed.output.splitlines() if f"{QUEUE.dead} " in line]
    assert row.split()[3] == "3"
    assert "2 × unavailable" in listed.output
    assert "1 × retries_exhausted" in listed.output


async def test_letters_are_shown_without_their_secrets(laid: Broker) -> None:
    await put(laid, "m-1")

    shown = await run(laid, "show", QUEUE.name)

    assert json.dumps("bill.issued") in shown.output
    assert "secret text" not in shown.output
