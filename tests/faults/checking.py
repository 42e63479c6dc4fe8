"""What became of an offering, judged from outside: by the carrier's texts, the ledger, the deliveries, the outcomes."""

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aio_pika

from tests.faults.load import Kind, Offering
from tests.faults.world import World

CHANNELS: Mapping[Kind, Sequence[str]] = {"otp.requested": ("sms",), "bill.issued": ("inbox", "push", "sms")}
"""The deliveries that each event causes."""
ALWAYS = frozenset({"inbox sent", "push failed no_devices", "sms sent"})
"""The ends that need no fault to explain them: these tenants have registered no device."""
MOST_TEXTS: Mapping[Kind, int] = {"otp.requested": 2, "bill.issued": 1}
"""However great the doubt: a code is sent once more, anything else never."""
NUMBER = re.compile(r"(?:код: |₮)([\d,]+)")
OBSERVED = "faults.observed"
KEPT = frozenset({OBSERVED, "spacehub.audit"})
"""Queues that nobody empties: ours, and the record of what people did."""
_TIMEOUT = 10.0


@dataclass
class Evidence:
    """What outsiders can see of one offering; `told` are the outcome events by the SMS they speak of."""

    texts: Counter[int]
    ledger: Mapping[str, Any]
    deliveries: Mapping[tuple[str, str], Any]
    told: Mapping[str, Mapping[str, str]]
    dead: Mapping[str, int]


@dataclass
class Counts:
    """One experiment's result in numbers, each a number of deliveries."""

    deliveries: int = 0
    lost: int = 0
    recovered: int = 0
    unexpected: int = 0
    duplicated: int = 0
    ambiguous: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def hold(self) -> bool:
        """Whether the promise was kept."""
        return not self.problems and not self.lost and not self.unexpected and self.duplicated <= self.ambiguous

    def lose(self, what: str) -> None:
        self.lost += 1
        self.problems.append(f"lost: {what}")

    def wonder(self, what: str) -> None:
        self.unexpected += 1
        self.problems.append(f"unexpected: {what}")


def count(offering: Offering, seen: Evidence, *, allowed: Iterable[str], dead: int | None, healed: datetime) -> Counts:
    """Judge every delivery of what the broker confirmed.

    `allowed`: ends that the fault explains, such as `sms unknown` (with or without the reason). `dead`: how many dead
    letters it explains (None: any number). Recovered is what was confirmed before the fault was `healed` and sent
    after that.
    """
    counts = Counts()
    explained = ALWAYS | set(allowed)
    for event_id, confirmed in offering.confirmed.items():
        event = offering.events[event_id]
        for channel in CHANNELS[event.kind]:
            counts.deliveries += 1
            what = f"{event.kind} {event_id} by {channel}"
            delivery = seen.deliveries.get((event_id, channel))
            if delivery is None or delivery["status"] == "pending":
                counts.lose(f"{what}: {'no delivery' if delivery is None else 'has no end'}")
                continue
            end = " ".join(filter(None, (channel, delivery["status"], delivery["reason"])))
            counts.ends[end] += 1
            if not {end, f"{channel} {delivery['status']}"} & explained:
                counts.wonder(f"{what}: {end}")
            if channel == "sms":
                _judge_sms(counts, what, delivery, seen, texts=seen.texts[event.number], most=MOST_TEXTS[event.kind])
            if delivery["status"] == "sent" and confirmed <= healed < delivery["ended_at"]:
                counts.recovered += 1
    offered = {event.number for event in offering.events.values()}
    for number in seen.texts.keys() - offered:
        counts.wonder(f"a text that nobody asked for: {number}")
    if dead is not None and sum(seen.dead.values()) != dead:
        counts.wonder(f"dead letters: {dict(seen.dead)} instead of {dead}")
    return counts


def _judge_sms(counts: Counts, what: str, delivery: Any, seen: Evidence, *, texts: int, most: int) -> None:
    sms_id = str(delivery["id"])
    row = seen.ledger.get(sms_id)
    if row is None:
        return counts.lose(f"{what}: the ledger has never heard of it")
    ambiguous = row["ambiguous"]
    counts.ambiguous += ambiguous
    counts.duplicated += max(0, texts - 1)
    if texts > min(most, 1 + ambiguous):
        counts.problems.append(f"duplicated: {what}: {texts} texts, {ambiguous} attempts in doubt")
    if row["status"] == "sent" and not texts:
        counts.lose(f"{what}: sent, says the ledger; the carrier has no such text")
    if texts and row["status"] not in ("sent", "unknown"):
        counts.wonder(f"{what}: {texts} texts went out, {row['status']} says the ledger")
    told = Counter(seen.told.get(sms_id, {}).values())
    final = f"sms.{row['status']}"
    if not told[final]:
        counts.lose(f"{what}: nobody was told {final}")
    if told[final] > 1 or told.keys() - {final, "sms.unknown"}:
        counts.wonder(f"{what}: told {dict(told)}, the ledger says {final}")
    if row["status"] != delivery["status"] and delivery["status"] != "suppressed":
        counts.wonder(f"{what}: {row['status']} in the ledger, {delivery['status']} in the inbox")
    return None


async def gather(world: World, offering: Offering) -> Evidence:
    """Everything there is to see, once it is quiet."""
    texts: Counter[int] = Counter()
    for message in await world.texts():
        found = NUMBER.search(message["text"])
        texts[int(found[1].replace(",", "")) if found else -1] += 1
    ledger = await world.rows("sms", "SELECT sms_id, status, ambiguous FROM sms WHERE source = $1", offering.source)
    deliveries = await world.rows("inbox", "SELECT * FROM deliveries WHERE source = $1", offering.source)
    set_apart = [name for name in await world.queues() if name.endswith((".dead", ".parking"))]
    return Evidence(
        texts=texts,
        ledger={str(row["sms_id"]): row for row in ledger},
        deliveries={(row["event_id"], row["channel"]): row for row in deliveries},
        told=await observed(world.amqp_url),
        dead={name: total for name, total in (await _depths(world.amqp_url, set_apart)).items() if total},
    )


async def quiet(world: World, offering: Offering) -> bool:
    """Whether nothing is on its way any more: every delivery has its end, outboxes and queues are empty."""
    wanted = sum(len(CHANNELS[offering.events[event_id].kind]) for event_id in offering.confirmed)
    [ended] = await world.rows(
        "inbox",
        "SELECT count(*) FILTER (WHERE status <> 'pending') AS ended, (SELECT count(*) FROM outbox) AS waiting"
        " FROM deliveries WHERE source = $1",
        offering.source,
    )
    [waiting] = await world.rows("sms", "SELECT count(*) AS waiting FROM outbox")
    if ended["ended"] < wanted or ended["waiting"] or waiting["waiting"]:
        return False
    busy = await world.queues()
    return not any(
        total for name, total in busy.items() if name not in KEPT and not name.endswith((".dead", ".parking"))
    )


async def _depths(url: str, names: Sequence[str]) -> Mapping[str, int]:
    """How many messages wait in each of these queues now; the management API's counts of a quiet one are old."""
    depths = {}
    async with _channel(url) as channel:
        for name in names:
            found = await channel.declare_queue(name, passive=True, timeout=_TIMEOUT)
            depths[name] = found.declaration_result.message_count or 0
    return depths


async def observe(url: str) -> None:
    """Have the broker keep a copy of every outcome of an SMS from now on."""
    async with _channel(url) as channel:
        queue = await channel.declare_queue(
            OBSERVED, durable=True, arguments={"x-queue-type": "quorum"}, timeout=_TIMEOUT
        )
        for end in ("sent", "failed", "expired", "blocked", "unknown"):
            await queue.bind("spacehub.events", f"sms.{end}", timeout=_TIMEOUT)


async def observed(url: str) -> Mapping[str, Mapping[str, str]]:
    """The outcome events kept so far, by SMS: each event's type by its id, so that copies count once."""
    told: defaultdict[str, dict[str, str]] = defaultdict(dict)
    async with _channel(url) as channel:
        queue = await channel.get_queue(OBSERVED)
        while (message := await queue.get(no_ack=True, fail=False, timeout=_TIMEOUT)) is not None:
            event = json.loads(message.body)
            told[event["data"]["sms_id"]][event["id"]] = event["type"].removeprefix("mn.spacehub.")
    return told


@asynccontextmanager
async def _channel(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with asyncio.timeout(60):
        async with await aio_pika.connect(url, timeout=_TIMEOUT) as connection:
            yield await connection.channel()
