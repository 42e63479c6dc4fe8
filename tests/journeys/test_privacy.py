"""After everything that can happen, no phone number, code, token or text is where it does not belong."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from secrets import randbelow
from typing import Any
from uuid import uuid4

import pytest
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.system import System

from tests.journeys.calling import Caller, behave, command
from tests.journeys.outsider import Outsider, person
from tests.journeys.searching import Place, Secret, everywhere, leaks
from tests.journeys.test_use_cases import bill, lease

MARK = uuid4().hex
SPELLINGS = ("{}{}", "{} {}", "{}-{}", "+976 {}-{}", "00976{}{}", "({}) {}", "{}.{}")
_number = count(randbelow(900))


def mobile() -> str:
    """Eight digits of a mobile number that nobody else uses."""
    return f"88{randbelow(10**3):03}{next(_number) % 1000:03}"


def spelled(phone: str) -> Iterator[str]:
    """As people write it: each spelling in turn, over and over."""
    while True:
        for spelling in SPELLINGS:
            yield spelling.format(phone[:4], phone[4:])


class Plants:
    """The values of this run, and what they are kept under."""

    def __init__(self) -> None:
        self.tenant, self.code_phone, self.landline = mobile(), mobile(), f"70{mobile()[2:]}"
        self.codes = [f"{randbelow(9 * 10**7) + 10**7}" for _ in range(6)]
        self.tokens = [f"token-{MARK}-{number}" for number in range(4)]
        self.title, self.body = f"title {MARK}", f"body {MARK}"
        self.amount = 1_234_567_000 + randbelow(1000)

    def secrets(self) -> list[Secret]:
        phones = [self.tenant, self.code_phone, self.landline]
        return [
            *(Secret("phone", tuple(s.format(phone[:4], phone[4:]) for s in SPELLINGS)) for phone in phones),
            *(Secret("code", (code,)) for code in self.codes),
            *(Secret("token", (token,)) for token in self.tokens),
            Secret("text", (self.title, self.body, f"{self.amount:,}")),
        ]


async def test_planted_values_are_nowhere_but_where_they_belong(system: System, outsider: Outsider) -> None:
    plants = Plants()
    ops = Caller.of_operations(system, outsider)
    tenant = person(plants.tenant)
    phones = spelled(plants.tenant)

    await _register(system, outsider, plants, tenant)
    events = await _ordinary_traffic(outsider, plants, tenant, phones)
    await _all_ended(outsider, events)
    events += await _failures(outsider, plants, tenant, phones)
    await _bad_input(outsider, plants)
    await _calls_with_values_in_them(system, outsider, ops, plants, tenant)
    await _all_ended(outsider, events)
    shown = await _commands(system, plants)

    places = await everywhere(system, outsider)
    assert leaks(plants.secrets(), [*places, *shown]) == []
    _was_a_search(places, plants)


@pytest.mark.parametrize("kind", ["phone", "code", "token", "text"])
def test_search_finds_each_kind_wherever_it_is_not_allowed(kind: str) -> None:
    plants = Plants()
    for secret in plants.secrets():
        if secret.kind == kind:
            for spelling in secret.spellings:
                place = Place("a log", f'{{"event": "x", "value": "{spelling}"}}')
                assert leaks(plants.secrets(), [place]) == [f"{kind} in a log"]
                assert leaks(plants.secrets(), [Place("a log", place.text, frozenset({kind}))]) == []


async def _register(system: System, outsider: Outsider, plants: Plants, tenant: dict[str, str]) -> None:
    app = Caller.of(system, outsider, tenant["user_id"])
    for token in plants.tokens:
        answer = await app.call("POST", "/v2/devices", json={"token": token, "platform": "android"})
        assert answer.status_code == 201, answer.text
    control = f"{outsider.endpoints['fcm_simulator_url']}/control/tokens"
    for token, error in zip(plants.tokens, ("UNREGISTERED", "SENDER_ID_MISMATCH"), strict=False):
        assert (await outsider.http.put(f"{control}/{token}", json={"error": error})).is_success


async def _ordinary_traffic(outsider: Outsider, plants: Plants, tenant: Any, phones: Iterator[str]) -> list[str]:
    """What every day brings; the ids of the events that cause deliveries."""
    someone = {**tenant, "phone": next(phones)}
    notice = {"title": plants.title, "body": plants.body, "channels": ["inbox", "push", "sms"], "recipients": [someone]}
    codes = zip(spelled(plants.code_phone), plants.codes, strict=False)
    told: list[tuple[str, dict[str, Any]]] = [
        ("user.updated", {"user_id": tenant["user_id"], "phone": next(phones), "locale": "en"}),
        ("contract.signed", lease(recipient={**tenant, "phone": next(phones)})),
        ("notification.requested", notice),
        ("notification.requested", {**notice, "channels": ["sms"], "critical": True}),
        *(("bill.issued", _bill(plants, {**tenant, "phone": next(phones)})) for _ in range(len(SPELLINGS))),
        ("bill.issued", _bill(plants, person(plants.landline))),
        *(("otp.requested", {"phone": phone, "code": code}) for phone, code in codes),
    ]
    ids = [await outsider.tell(kind, data) for kind, data in told]
    late = (datetime.now(UTC) - timedelta(minutes=6)).isoformat()
    ids.append(await outsider.tell("otp.requested", {"phone": plants.tenant, "code": plants.codes[0]}, time=late))
    return [
        event for event, (kind, _) in zip(ids, told, strict=False) if kind not in ("user.updated", "contract.signed")
    ]


async def _failures(outsider: Outsider, plants: Plants, tenant: Any, phones: Iterator[str]) -> list[str]:
    """An SMS and a push that are retried, one whose end nobody knows, and bills that are withdrawn."""
    events = []
    for simulator, mode in (("sms", "503"), ("sms", "garbage"), ("sms", "accept_then_reset"), ("fcm", "503")):
        await behave(outsider, simulator, mode, count=1)
        data = _bill(plants, {**tenant, "phone": next(phones)})
        events.append(await outsider.tell("bill.issued", data))
        await _all_ended(outsider, events[-1:])
    await outsider.tell("bill.cancelled", {"bill_id": data["bill_id"]})
    events.append(await outsider.tell("bill.issued", data))
    return events


async def _bad_input(outsider: Outsider, plants: Plants) -> None:
    """Dead letters that hold the values: in fields that are wrong, in fields nobody knows, in what is no JSON."""
    bodies = [
        outsider.event("otp.requested", {"phone": plants.code_phone, "code": plants.codes[0] + "x"}),
        outsider.event("otp.requested", {"phone": [plants.code_phone], "code": plants.codes[1]}),
        outsider.event("bill.issued", {**_bill(plants, person(plants.tenant)), "amount": "many"}),
        outsider.event("notification.requested", {"title": plants.title, "body": plants.body, "channels": []}),
        outsider.event("no.such.type", {"to": plants.tenant, "message": plants.body}),
    ]
    for body in bodies:
        await outsider.publish(body)
    await outsider.put(f'{{"phone": "{plants.tenant}", "code": {plants.codes[2]}'.encode(), key="otp.requested")
    letters = partial(_letters, outsider)
    before = len(bodies) + 1
    await eventually(lambda: _at_least(letters, before), because="dead letters")


async def _letters(outsider: Outsider) -> int:
    found = 0
    for queue in ("inbox-api.standard.dead", "inbox-api.critical.dead"):
        declared = await outsider.channel.declare_queue(queue, passive=True)
        found += declared.declaration_result.message_count or 0
    return found


async def _at_least(letters: Any, least: int) -> bool:
    return bool(await letters() >= least)


async def _calls_with_values_in_them(
    system: System, outsider: Outsider, ops: Caller, plants: Plants, tenant: dict[str, str]
) -> None:
    app = Caller.of(system, outsider, tenant["user_id"])
    phone = plants.tenant
    found = await ops.deliveries(phone=f"+976 {phone[:4]}-{phone[4:]}")
    assert len(found) >= len(SPELLINGS)
    assert leaks(plants.secrets(), [Place("the answer to operations", str(found))]) == []
    for path, asked in (
        ("/v2/ops/deliveries", {"phone": phone, "status": plants.codes[0]}),
        ("/v2/ops/deliveries", {"event_id": phone, "cursor": phone}),
        (f"/v2/ops/deliveries/{phone}", {}),
        ("/v2/notifications", {"cursor": plants.codes[0], "phone": phone}),
    ):
        assert (await ops.call("GET", path, params=asked)).status_code in (200, 400, 404, 422)
    await app.call("POST", "/v2/devices", json={"token": plants.tokens[2], "platform": plants.body})
    await app.call("DELETE", f"/v2/devices/{plants.tokens[2]}")
    await app.call("GET", "/v2/notifications")


async def _commands(system: System, plants: Plants) -> list[Place]:
    """What a person at a terminal sees of it all."""
    words = [
        ("inbox-api", "trace", plants.tenant, "--limit", "500"),
        ("spacehub", "dead", "list"),
        ("spacehub", "dead", "show", "inbox-api.standard", "--limit", "1000"),
        ("spacehub", "dead", "redrive", "inbox-api.standard", "--dry-run"),
        ("sms-sender", "unknown", "list", "--limit", "1000"),
    ]
    told = await asyncio.gather(*(command(system, *each) for each in words))
    return [Place(f"what `{' '.join(each[:3])}` prints", text) for each, text in zip(words, told, strict=True)]


async def _all_ended(outsider: Outsider, events: list[str]) -> None:
    async def ended() -> bool:
        return all([await outsider.ended(event) for event in events])

    await eventually(ended, within=120, because="every delivery has an end")


def _bill(plants: Plants, recipient: dict[str, str]) -> dict[str, Any]:
    return bill(month="2026-11", amount=plants.amount, recipient=recipient)


def _was_a_search(places: list[Place], plants: Plants) -> None:
    """The values did pass through, and the places were not empty: each kind is found where it is allowed."""
    names = [place.name for place in places]
    for expected in ("the log", "the metrics of", "the headers of a letter", "inbox.deliveries", "sms.sms."):
        assert any(name.startswith(expected) for name in names), expected
    told = [
        secret.kind
        for secret in plants.secrets()
        if any(secret.kind in place.allowed and secret.is_in(place.text) for place in places)
    ]
    assert {"phone", "text", "token"} <= set(told)
