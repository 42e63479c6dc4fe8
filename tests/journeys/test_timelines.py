"""A hundred mixed deliveries, sent or not: for each of them operations and the terminal can say what became of it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.system import System

from tests.journeys.calling import Caller, behave, command
from tests.journeys.outsider import Outsider, person
from tests.journeys.test_use_cases import bill, lease

NOT_SENT = {
    *("no_phone", "no_devices", "preference", "invalid_phone", "budget", "rate_limited", "expired", "withdrawn"),
}
"""Every reason for which something is not sent (CONTRACT section 3)."""

End = tuple[str, str | None]
SENT: End = ("sent", None)
EVERYWHERE = {"inbox": SENT, "push": SENT, "sms": SENT}


@dataclass
class Story:
    """Events that were published, and how each delivery of theirs has to end."""

    outsider: Outsider
    ends: dict[str, dict[str, End]] = field(default_factory=dict)

    async def tell(self, kind: str, data: dict[str, Any], ends: dict[str, End], **attributes: Any) -> None:
        self.ends[await self.outsider.tell(kind, data, **attributes)] = ends

    async def comes_to_its_end(self) -> None:
        async def all_ended() -> bool:
            return all([await self.outsider.ended(event) for event in self.ends])

        await eventually(all_ended, within=120, because="every delivery has an end")


async def test_every_one_of_a_hundred_mixed_deliveries_is_explained(
    system: System, outsider: Outsider, phone: str
) -> None:
    ops, story = Caller.of_operations(system, outsider), Story(outsider)
    reached, nowhere, picky, landline = person(phone), person(), person(phone), person("70112233")
    code_phone = f"8{phone[1:]}"
    await _prepare(system, outsider, reached, picky)

    await _sent(story, reached)
    await _not_wanted_or_not_possible(story, nowhere, picky, landline)
    await _withdrawn_and_blocked(story, reached)
    await _codes(story, code_phone)
    await story.comes_to_its_end()
    await _with_a_carrier_that_fails(story, outsider, reached)

    found = [item for event in story.ends for item in await ops.deliveries(event_id=event)]
    codes = [item for item in found if item["type"] == "otp.requested"]
    assert len(found) >= 100
    for item in found:
        _is_explained(item)
        if item not in codes:
            assert (item["status"], item["reason"]) == story.ends[item["eventId"]][item["channel"]], item
    assert Counter((item["status"], item["reason"]) for item in codes) == {
        SENT: 5,
        ("blocked", "rate_limited"): 3,
        ("expired", "expired"): 2,
    }
    assert {item["reason"] for item in found if item["status"] != "sent"} >= NOT_SENT
    await _terminal_tells_the_same(system, found, [reached, nowhere, picky, landline], code_phone)


async def _prepare(system: System, outsider: Outsider, reached: dict[str, str], picky: dict[str, str]) -> None:
    app = Caller.of(system, outsider, reached["user_id"])
    assert (await app.call("POST", "/v2/devices", json={"token": f"t-{uuid4()}", "platform": "ios"})).is_success
    chosen = {"locale": "en", "sms": False, "push": False}
    wishes = Caller.of(system, outsider, picky["user_id"])
    assert (await wishes.call("PUT", "/v2/notification-preferences", json=chosen)).is_success


async def _sent(story: Story, reached: dict[str, str]) -> None:
    for number in range(8):
        await story.tell("bill.issued", bill(month="2026-11", recipient=reached), EVERYWHERE)
        await story.tell("payment.confirmed", bill(payment_id=f"p-{number}", recipient=reached), EVERYWHERE)
    for _ in range(3):
        await story.tell("contract.expiring", lease(recipient=reached), EVERYWHERE)
        notice = {"title": "Ус", "body": "Маргааш ус хаана.", "channels": ["push"], "recipients": [reached]}
        await story.tell("notification.requested", notice, {"push": SENT})


async def _not_wanted_or_not_possible(story: Story, nowhere: Any, picky: Any, landline: Any) -> None:
    no_devices: End = ("failed", "no_devices")
    unwanted: End = ("suppressed", "preference")
    for _ in range(4):
        ends = {"inbox": SENT, "push": no_devices, "sms": ("suppressed", "no_phone")}
        await story.tell("bill.issued", bill(month="2026-11", recipient=nowhere), ends)
        ends = {"inbox": SENT, "push": unwanted, "sms": unwanted}
        await story.tell("bill.issued", bill(month="2026-11", recipient=picky), ends)
        ends = {"inbox": SENT, "push": no_devices, "sms": ("failed", "invalid_phone")}
        await story.tell("bill.issued", bill(month="2026-11", recipient=landline), ends)


async def _withdrawn_and_blocked(story: Story, reached: dict[str, str]) -> None:
    poor, closed = str(uuid4()), [bill(month="2026-11", recipient=reached) for _ in range(3)]
    await story.outsider.tell("sms_budget.set", {"owner_id": poor, "monthly_segments": 0})
    for one in closed:
        await story.outsider.tell("bill.cancelled", {"bill_id": one["bill_id"]})
    await eventually(partial(_known, story.outsider, "sms", "SELECT FROM budget_limits WHERE owner_id = $1", poor))
    last = f"bill:{closed[-1]['bill_id']}"
    await eventually(partial(_known, story.outsider, "inbox", "SELECT FROM closings WHERE subject = $1", last))
    withdrawn: End = ("suppressed", "withdrawn")
    for one in closed:
        await story.tell("bill.issued", one, {"inbox": withdrawn, "push": withdrawn, "sms": withdrawn})
        ends: dict[str, End] = {**EVERYWHERE, "sms": ("blocked", "budget")}
        await story.tell("bill.issued", bill(month="2026-11", recipient=reached, owner_id=poor), ends)


async def _known(outsider: Outsider, database: str, query: str, value: str) -> bool:
    return bool(await outsider.rows(database, query, value))


async def _codes(story: Story, phone: str) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=6)).isoformat()
    for _ in range(8):
        await story.tell("otp.requested", {"phone": phone, "code": "482913"}, {})
    for _ in range(2):
        await story.tell("otp.requested", {"phone": phone, "code": "482913"}, {}, time=long_ago)


async def _with_a_carrier_that_fails(story: Story, outsider: Outsider, reached: dict[str, str]) -> None:
    """One SMS that is sent in its second attempt, and one of which nobody will know."""
    for mode, end in (("503", SENT), ("accept_then_reset", ("unknown", "connection_lost"))):
        await behave(outsider, "sms", mode, count=1)
        await story.tell("bill.issued", bill(month="2026-11", recipient=reached), {**EVERYWHERE, "sms": end})
        await story.comes_to_its_end()


def _is_explained(item: dict[str, Any]) -> None:
    """Its timeline runs from the event to the end, and says of whatever was not sent why, in words."""
    steps = [entry["step"] for entry in item["timeline"]]
    ended = item["timeline"][-1]
    assert steps[:2] == ["received", "rendered"], item
    assert ended["step"] == "ended", item
    assert (ended["status"], ended.get("reason")) == (item["status"], item["reason"]), item
    if item["status"] != "sent":
        assert ended["meaning"], item
    if item["status"] in ("sent", "unknown") and item["channel"] == "sms":
        attempts = [entry for entry in item["timeline"] if entry["step"] == "attempted"]
        assert len(attempts) == item["attempts"], item
        assert all(entry["outcome"] and entry["durationMs"] >= 0 for entry in attempts), item
        assert attempts[-1]["outcome"] == item["status"], item
    if item["status"] == "sent" and item["channel"] == "push":
        [attempt] = [entry for entry in item["timeline"] if entry["step"] == "attempted"]
        assert attempt["devicesReached"] == 1, item
    if item["reason"] == "withdrawn":
        assert "withdrawn" in steps, item


async def _terminal_tells_the_same(
    system: System, found: list[dict[str, Any]], people: list[dict[str, str]], phone: str
) -> None:
    names = [person["user_id"] for person in people] + [f"+976 {phone[:4]}-{phone[4:]}"]
    told = await asyncio.gather(*(command(system, "inbox-api", "trace", name, "--limit", "500") for name in names))
    accounts = {lines[1].split()[1]: lines for text in told for lines in map(str.splitlines, text.split("\n\n"))}
    for item in found:
        heading, *_, last = accounts[item["id"]]
        standing = ", ".join(filter(None, (item["status"], item["reason"])))
        assert heading.startswith(f"{item['channel']} {item['type']} "), heading
        assert f": {standing}" in heading, heading
        assert f"ended            {standing}" in last, last
    assert not any(phone in text for text in told)
