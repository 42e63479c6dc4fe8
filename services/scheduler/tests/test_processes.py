"""The real processes together: facts come in over the broker and reminders go out; the command says what is wrong."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import aio_pika
import asyncpg
import httpx
import pytest
from scheduler.app import app
from scheduler.arming import learn
from scheduler.database_clock import DatabaseClock
from scheduler.testing import TENANT, issued, paid, signed, told
from scheduler.timetable import Timetable
from spacehub import topology
from spacehub.confirming import Confirm, Outgoing
from spacehub.events import envelope, facts
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import Event
from spacehub.rabbit import Publisher
from spacehub.testing.waiting import eventually
from spacehub_dev.provisioning.fresh import Vhost
from typer.testing import CliRunner

from .conftest import COMMAND, Start


async def test_unpaid_bill_and_ending_contract_are_heard_of_and_a_paid_bill_is_not(vhost: Vhost, start: Start) -> None:
    async with listening(vhost, "bill.overdue", "contract.expiring") as heard:
        for verb in ("consume", "fire", "forward"):
            start(verb, SCHEDULER_AMQP_URL=vhost.amqp_url, SCHEDULER_SAFETY_POLL="PT1H")
        in_three_days = (datetime.now(UTC) + timedelta(days=3)).date()
        last_week = (datetime.now(UTC) - timedelta(days=7)).date()
        await publish(
            vhost,
            told(paid("paid before it came")),
            told(issued("paid before it came", last_week)),
            told(issued("unpaid", last_week)),
            told(signed("ending", in_three_days)),
            told(signed("over", last_week)),
            told(issued("not due yet", in_three_days)),
        )

        await eventually(lambda: len(heard) >= 2, within=60)
        await publish(vhost, told(issued("the last", last_week)))
        await eventually(lambda: len(heard) >= 3, within=60)

    assert [subject(event) for event in heard[2:]] == ["the last"]
    assert {subject(event) for event in heard[:2]} == {"unpaid", "ending"}
    assert all(event.source == "/scheduler" for event in heard)


@pytest.mark.parametrize("verb", ["consume", "fire", "forward"])
async def test_process_has_its_pages_and_ends_when_asked_to(
    vhost: Vhost, start: Start, verb: str, health_port: int
) -> None:
    async with listening(vhost):
        process = start(verb, SCHEDULER_AMQP_URL=vhost.amqp_url, SCHEDULER_HEALTH_PORT=str(health_port))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{health_port}") as pages:

            async def ready() -> bool:
                try:
                    return (await pages.get("/readyz")).is_success
                except httpx.TransportError:
                    return False

            await eventually(ready, within=60)
            metrics = (await pages.get("/metrics")).text

        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, 30)

    assert "spacehub_task_running" in metrics
    assert code == 0


def test_due_lists_what_will_fire_without_whom_it_is_for(
    pool: "asyncpg.Pool[asyncpg.Record]", environment: Mapping[str, str], arm_for_tomorrow: date
) -> None:
    listed = run("due", "--within", "3d", environment=environment)

    lines = listed.stdout.splitlines()
    [bill] = [line for line in lines if "bill:tomorrow" in line]
    assert bill.split() == [f"{arm_for_tomorrow + timedelta(days=1)}", "10:00:00", "bill.overdue", "bill:tomorrow"]
    assert sum("retention.due" in line for line in lines) == 3
    assert "in a month" not in listed.stdout
    assert "9911 2233" not in listed.stdout
    assert "99112233" not in listed.stdout
    assert str(TENANT) not in listed.stdout
    assert lines == sorted(lines)


def test_due_shows_no_more_than_asked_for_and_says_so(environment: Mapping[str, str], arm_for_tomorrow: date) -> None:
    listed = run("due", "--within", "60d", "--limit", "5", environment=environment)

    assert listed.stdout.splitlines()[5:] == ["and more: the first 5 are shown"]


@pytest.mark.parametrize(
    ("variable", "value", "told_as"),
    [
        ("SCHEDULER_PRUNE_CRON", "0 25 * * 1", "not a cron expression"),
        ("SCHEDULER_RETENTION_CRON", "0 0 31 2 *", "not a cron expression"),
        ("SCHEDULER_RELEASE_RATE", "0", "greater than 0"),
        ("SCHEDULER_SAFETY_POLL", "PT0S", "greater than"),
        ("SCHEDULER_FACTS_KEPT", "P7D", "greater than or equal to 31 days"),
    ],
)
def test_wrong_setting_is_told_by_its_name_before_anything_starts(
    environment: Mapping[str, str], variable: str, value: str, told_as: str
) -> None:
    started = CliRunner().invoke(app, ["fire"], env={**environment, variable: value})

    assert started.exit_code == 2
    assert started.stderr.startswith(f"{variable}: ")
    assert told_as in started.stderr


def test_span_that_cannot_be_read_is_told(environment: Mapping[str, str]) -> None:
    listed = CliRunner().invoke(app, ["due", "--within", "soon"], env=environment)

    assert listed.exit_code == 2
    assert "'soon' should be" in listed.stderr


@pytest.fixture
async def arm_for_tomorrow(pool: "asyncpg.Pool[asyncpg.Record]") -> date:
    """A bill due tomorrow and one due in a month are armed; the date of tomorrow."""
    clock = DatabaseClock(pool)
    tomorrow = (await clock.now() + timedelta(hours=8, days=1)).date()
    bills = [told(issued("tomorrow", tomorrow)), told(issued("in a month", tomorrow + timedelta(days=30)))]
    await learn(bills, timetable=Timetable(pool), clock=clock)
    return tomorrow


def run(*arguments: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """The scheduler's command, run to its end."""
    return subprocess.run(
        [COMMAND, *arguments], env=dict(environment), capture_output=True, text=True, timeout=60, check=False
    )


@asynccontextmanager
async def listening(vhost: Vhost, *keys: str) -> AsyncIterator[list[Event]]:
    """Everything declared on the broker, and a list that fills with the events of `keys`."""
    heard: list[Event] = []
    async with await aio_pika.connect(vhost.amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for key in keys:
            await queue.bind(EVENTS_EXCHANGE, key)

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            heard.append(envelope.read(message.body, content_type=message.content_type, headers=message.headers))
            await message.ack()

        await queue.consume(hear)
        yield heard


async def publish(vhost: Vhost, *events: Event) -> None:
    """Publish one after the other, so that they are queued in this order."""
    publisher = Publisher(vhost.amqp_url, name="test")
    for event in events:
        message = envelope.write(event)
        outgoing = Outgoing(EVENTS_EXCHANGE, message.routing_key, message.body, message.id, message.content_type)
        assert await publisher.publish([outgoing]) == [Confirm.ACKED]
    await publisher.close()


def subject(event: Event) -> str:
    match event.data:
        case facts.BillOverdue(bill_id=bill):
            return bill
        case facts.ContractExpiring(contract_id=contract):
            return contract
        case other:
            raise AssertionError(other)
