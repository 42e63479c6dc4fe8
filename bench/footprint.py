"""How much memory and processor each process takes while the whole system works: `python -m bench.footprint [SECONDS]`.

Needs `make run` beside it. Offers crowds, bills, codes and the app's calls for a minute and prints a table, from which
the requests and limits in deploy/k8s are taken. What is counted is processor time, which a busy machine changes little.
"""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import psutil

BILLS_A_SECOND = 200
CODES_A_SECOND = 10
CALLS_A_SECOND = 40
CROWDS = 20
"""Notifications to a thousand people each, at the start: what takes the most memory."""
USERS = [str(uuid.UUID(int=number + 1)) for number in range(500)]


def bill(user: int) -> tuple[str, dict[str, Any]]:
    """A bill for one of the users."""
    recipient = {"user_id": USERS[user % len(USERS)], "phone": f"99{110000 + user % len(USERS)}"}
    due = date.today() + timedelta(days=10)
    return "bill.issued", {
        "bill_id": str(uuid.uuid4()),
        "owner_id": USERS[0],
        "recipient": recipient,
        "month": f"{due:%Y-%m}",
        "amount": 1_250_000,
        "due_date": due.isoformat(),
    }


def code(user: int) -> tuple[str, dict[str, Any]]:
    """A code, each for another phone: their number is limited."""
    return "otp.requested", {"phone": f"88{user % 1_000_000:06d}", "code": "4711"}


def crowd() -> tuple[str, dict[str, Any]]:
    """A notification to a thousand people."""
    recipients = [{"user_id": str(uuid.UUID(int=number + 1000))} for number in range(1000)]
    told = {"title": "Water", "body": "No water on Saturday from 10 to 12.", "channels": ["inbox", "push"]}
    return "notification.requested", {"recipients": recipients, **told}


async def publish(exchange: aio_pika.abc.AbstractExchange, key: str, data: Mapping[str, Any]) -> None:
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "bench",
        "type": f"mn.spacehub.{key}",
        "time": datetime.now(UTC).isoformat(),
        "data": data,
    }
    body = json.dumps(event).encode()
    await exchange.publish(aio_pika.Message(body, content_type="application/cloudevents+json", delivery_mode=2), key)


async def offer_events(endpoints: Mapping[str, Any], seconds: float) -> int:
    """Publish at an even rate; how many events the broker confirmed."""
    published = 0
    connection = await aio_pika.connect(endpoints["amqp_url"])
    async with connection:
        exchange = await (await connection.channel()).get_exchange("spacehub.events")
        await asyncio.gather(*(publish(exchange, *crowd()) for _ in range(CROWDS)))
        began = time.monotonic()
        for tick in range(1, int(seconds * 5) + 1):
            events = [bill(published + number) for number in range(BILLS_A_SECOND // 5)]
            events += [code(published + number) for number in range(CODES_A_SECOND // 5)]
            await asyncio.gather(*(publish(exchange, key, data) for key, data in events))
            published += len(events)
            await asyncio.sleep(max(0.0, began + tick / 5 - time.monotonic()))
    return published


async def offer_calls(endpoints: Mapping[str, Any], seconds: float) -> int:
    """Call as the app does, at an even rate; how many calls were answered well."""
    command = [str(Path(sys.executable).with_name("spacehub")), "token", USERS[0]]
    token = await asyncio.to_thread(subprocess.check_output, command, text=True)
    answered = 0
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token.strip()}"}, timeout=30) as client:
        url = f"{endpoints['api_url']}/v2"
        await client.post(f"{url}/devices", json={"token": "token-of-one-user", "platform": "android"})
        paths = ["notifications", "devices", "notifications/unread-count", "notification-preferences"]
        began = time.monotonic()
        for tick in range(1, int(seconds * 5) + 1):
            answers = await asyncio.gather(*(client.get(f"{url}/{path}") for path in paths * (CALLS_A_SECOND // 20)))
            answered += sum(answer.is_success for answer in answers)
            await asyncio.sleep(max(0.0, began + tick / 5 - time.monotonic()))
    return answered


def used(processes: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Of each process: resident MiB and processor seconds so far, of those it started too (the gateway's are)."""
    found = {}
    for name, pid in processes.items():
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        times = [each.cpu_times() for each in family]
        found[name] = (
            sum(each.memory_info().rss for each in family) / 2**20,
            sum(taken.user + taken.system for taken in times),
        )
    return found


async def main(endpoints: Mapping[str, Any], seconds: float) -> None:
    processes: Mapping[str, int] = endpoints["processes"]
    before = used(processes)
    peak: dict[str, float] = {}
    began = time.monotonic()
    loading = asyncio.gather(offer_events(endpoints, seconds), offer_calls(endpoints, seconds))
    while not loading.done() or time.monotonic() - began < seconds + 5:
        await asyncio.sleep(0.5)
        for name, (memory, _) in used(processes).items():
            peak[name] = max(peak.get(name, 0.0), memory)
    lasted, after, (events, calls) = time.monotonic() - began, used(processes), await loading
    print(f"{events} events and {calls} calls in {lasted:.0f} s\n")
    print("| process | MiB idle | MiB at most | processor, of one core |\n|---|---|---|---|")
    for name in sorted(processes):
        share = (after[name][1] - before[name][1]) / lasted
        print(f"| {name} | {before[name][0]:.0f} | {peak[name]:.0f} | {share:.2f} |")


if __name__ == "__main__":
    running = json.loads(Path(".run/endpoints.json").read_text(encoding="utf-8"))
    asyncio.run(main(running, float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
