"""The `spacehub` command, as people of other domains and those who run the system meet it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spacehub import topology
from spacehub.cli.main import app
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.testing.broker import Broker, ids_of, lay
from spacehub.testing.proxy import proxy_to
from spacehub.topology import BY_NAME, WORK_QUEUES
from typer.testing import CliRunner, Result

SECRET = "99112233"
USER = "0b8f5f0e-6f1d-4c0a-9a53-2f0c7f9d1a01"
CRITICAL = BY_NAME["inbox-api.critical"]
SAMPLES = Path(__file__).parents[2] / "docs" / "events" / "samples"

Write = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    """Writes a file and gives its path."""

    def write(content: Any, name: str = "event.json") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    return write


def otp(name: str = "e-1", **more: Any) -> dict[str, Any]:
    data = {"phone": SECRET, "code": "482913", **more.pop("data", {})}
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/auth",
        "type": "mn.spacehub.otp.requested",
        "data": data,
        **more,
    }


async def run(*arguments: str, given: bytes | None = None, **environment: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, input=given, env=environment)


async def listening(broker: Broker, *keys: str) -> str:
    """A fresh queue bound to the events' exchange by `keys`."""
    await broker.channel.exchange_declare(EVENTS_EXCHANGE, exchange_type="topic", durable=True)
    queue = await broker.plain_queue()
    for key in keys:
        await broker.channel.queue_bind(queue, EVENTS_EXCHANGE, key)
    return queue


async def test_published_event_arrives_as_other_domains_send_it(broker: Broker, file: Write) -> None:
    queue = await listening(broker, "otp.requested")

    result = await run("publish", file(otp()), "--amqp-url", broker.url)

    [message] = await broker.take(queue)
    assert result.exit_code == 0, result.output
    assert "e-1  otp.requested  published" in result.output
    assert json.loads(message.body) == otp()
    assert message.header.properties.content_type == "application/cloudevents+json"
    assert (message.header.properties.message_id, message.header.properties.delivery_mode) == ("e-1", 2)


async def test_lists_files_and_standard_input_are_published_alike(broker: Broker, file: Write) -> None:
    queue = await listening(broker, "otp.requested")
    files = [file([otp("e-1"), otp("e-2")], "two.json"), file(otp("e-3"), "one.json"), "-"]

    result = await run("publish", *files, given=json.dumps([otp("e-4")]).encode(), AMQP_URL=broker.url)

    assert result.exit_code == 0, result.output
    assert ids_of(await broker.take(queue)) == ["e-1", "e-2", "e-3", "e-4"]


async def test_critical_notification_goes_by_its_own_key(broker: Broker, file: Write) -> None:
    queue = await listening(broker, "notification.requested.critical")
    notice = {"recipients": [{"user_id": USER}], "title": "Ус", "body": "Хаана", "channels": ["push"], "critical": True}

    result = await run(
        "publish", file({**otp(), "type": "mn.spacehub.notification.requested", "data": notice}), AMQP_URL=broker.url
    )

    assert result.exit_code == 0, result.output
    assert await broker.count(queue) == 1


async def test_nothing_is_published_when_one_event_is_invalid(broker: Broker, file: Write) -> None:
    queue = await listening(broker, "otp.requested")
    good, bad = file(otp("good"), "good.json"), file([otp("e-1"), otp("e-2", data={"code": "12a4"})], "bad.json")

    result = await run("publish", good, bad, "--amqp-url", broker.url)

    assert result.exit_code == 1
    assert f"{bad}[1]: wrong_data: data.code: " in result.output
    assert "1 invalid, nothing was published" in result.output
    assert await broker.count(queue) == 0


async def test_event_that_nobody_listens_to_is_told_as_not_published(broker: Broker, file: Write) -> None:
    queue = await listening(broker, "otp.requested")
    ended = {**otp("e-2"), "type": "mn.spacehub.contract.ended", "data": {"contract_id": "5530"}}

    result = await run("publish", file([otp("e-1"), ended]), "--amqp-url", broker.url)

    assert result.exit_code == 1
    assert "e-1  otp.requested  published" in result.output
    assert "e-2  contract.ended  NOT published: no queue is bound" in result.output
    assert ids_of(await broker.take(queue)) == ["e-1"]


async def test_copies_of_one_event_in_a_file_are_all_published(broker: Broker, file: Write) -> None:
    queue = await listening(broker, "otp.requested")

    result = await run("publish", file([otp(), otp(), otp()]), "--amqp-url", broker.url)

    assert result.exit_code == 0, result.output
    assert await broker.count(queue) == 3


async def test_event_whose_id_is_too_long_for_amqp_is_published_without_a_message_id(
    broker: Broker, file: Write
) -> None:
    queue = await listening(broker, "otp.requested")

    result = await run("publish", file(otp("ө" * 200)), "--amqp-url", broker.url)

    [message] = await broker.take(queue)
    assert result.exit_code == 0, result.output
    assert json.loads(message.body)["id"] == "ө" * 200


async def test_broker_that_is_away_is_told(broker: Broker, file: Write) -> None:
    async with proxy_to(broker.url) as proxy:
        await proxy.shut()
        result = await run("publish", file(otp()), "--amqp-url", proxy.url)

    assert result.exit_code == 1
    assert "Not published: rabbitmq: " in result.output
    assert "Traceback" not in result.output


FAULTS: dict[str, tuple[Any, str]] = {
    "field": (otp(data={"code": SECRET + "a"}), "wrong_data: data.code: "),
    "type": ({**otp(), "type": "mn.spacehub.rent.raised"}, "no_such_type: "),
    "attribute": ({**otp(), "specversion": "0.3"}, "wrong_data: specversion: "),
    "number": (5, "wrong_data: event: "),
    "not JSON": (b'{"id": ', "not JSON: "),
    "empty": (b"", "not JSON: "),
    "latin": (b'{"id": "\xe9"}', "not UTF-8 text"),
    "deep": (b"[" * 100_000, "not JSON"),
    "huge number": (b"9" * 5000, "not JSON"),
    "surrogate": (otp("\ud83d"), "not_json: "),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_in_a_file_is_told_by_its_place_and_field(file: Write, name: str) -> None:
    content, told = FAULTS[name]
    path = file(content)

    result = await run("validate", path)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"{path}: {told}" in result.output
    assert SECRET not in result.output


async def test_every_fault_of_every_file_is_told(file: Write, tmp_path: Path) -> None:
    bad, missing = file([otp(data={"code": 1}), 5], "bad.json"), str(tmp_path / "missing.json")

    result = await run("validate", bad, missing, file(b"{", "broken.json"))

    assert result.exit_code == 1
    for told in (f"{bad}[0]: wrong_data: data.code", f"{bad}[1]: wrong_data: event", f"{missing}: No such file"):
        assert told in result.output
    assert "4 invalid" in result.output


async def test_valid_files_are_counted(file: Write) -> None:
    result = await run("validate", file([otp("e-1"), otp("e-2")]), "-", given=json.dumps(otp()).encode())

    assert (result.exit_code, result.output) == (0, "3 valid\n")


async def test_samples_are_valid_except_the_one_that_is_not() -> None:
    samples = [str(path) for path in sorted(SAMPLES.glob("*.json"))]

    result = await run("validate", *samples)

    assert result.exit_code == 1
    assert "09-unreadable-amount.json: wrong_data: data.amount: Input should be a valid integer" in result.output
    assert "1 invalid" in result.output


async def laid(broker: Broker) -> None:
    """Every queue there is, empty."""
    await lay(broker.url)
    for queue in topology.queues():
        await broker.channel.queue_purge(queue.name)


async def test_dead_letters_are_counted_shown_sent_back_and_thrown_away(broker: Broker) -> None:
    await laid(broker)
    headers = {"x-reason": "busy", "x-attempts": 6, "x-failed-at": "now", "x-origin-queue": CRITICAL.name}
    for number in range(3):
        body = json.dumps(otp(time="2126-01-01T00:00:00Z")).encode()
        await broker.put(CRITICAL.dead, body, message_id=f"m-{number}", headers=headers)

    listed = await run("dead", "list", "--amqp-url", broker.url)
    shown = await run("dead", "show", CRITICAL.dead, "--limit", "1", "--amqp-url", broker.url)
    redriven = await run("dead", "redrive", CRITICAL.name, "--limit", "1", "--amqp-url", broker.url)
    discarded = await run("dead", "discard", CRITICAL.name, "--amqp-url", broker.url)

    assert [result.exit_code for result in (listed, shown, redriven, discarded)] == [0] * 4
    counted = {row.split()[1]: row.split()[3] for row in listed.output.splitlines() if ".dead" in row}
    assert counted == {work.dead: "3" if work is CRITICAL else "0" for work in WORK_QUEUES}
    for told in ("m-0", "now", f"from {CRITICAL.name}", "attempts 6", "busy", "otp.requested"):
        assert told in shown.output
    assert "m-1" not in shown.output
    assert SECRET not in shown.output
    assert "1 sent back, 0 refused" in redriven.output
    assert "2 discarded" in discarded.output
    assert ids_of(await broker.take(CRITICAL.name)) == ["m-0"]


@pytest.mark.parametrize("verb", ["show", "redrive", "discard"])
@pytest.mark.parametrize("name", ["sms-sender", "nothing.dead"])
async def test_unknown_queue_is_answered_with_the_known_ones(verb: str, name: str) -> None:
    result = await run("dead", verb, name, "--amqp-url", "amqp://nobody:nothing@127.0.0.1:1/")

    assert result.exit_code == 2
    assert all(queue.name in result.output for queue in WORK_QUEUES)


@pytest.mark.parametrize("arguments", [["list"], ["show", CRITICAL.name], ["redrive", CRITICAL.name]])
async def test_dead_letters_of_a_broker_that_is_away_are_told_so(arguments: list[str]) -> None:
    result = await run("dead", *arguments, "--amqp-url", "amqp://nobody:s3cret@127.0.0.1:1/")

    assert result.exit_code == 1
    assert "Not done: rabbitmq: " in result.output
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    "arguments", [["redrive", CRITICAL.name, "--limit", "0"], ["show", CRITICAL.name, "--limit", "-1"]]
)
async def test_limits_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    result = await run("dead", *arguments)

    assert result.exit_code == 2
