"""Money and abuse: an owner pays no more than the month's budget and hears of it; a phone gets five codes."""

from collections import Counter
from functools import partial
from uuid import uuid4

from spacehub.testing.waiting import eventually

from tests.journeys.outsider import Outsider, person


async def test_an_owners_budget_stops_bills_and_the_owner_is_told_at_80_and_100(outsider: Outsider, phone: str) -> None:
    owner = str(uuid4())
    await outsider.tell("sms_budget.set", {"owner_id": owner, "monthly_segments": 2})
    await eventually(partial(_known, outsider, owner))

    ends = []
    for number in range(3):
        event_id = await outsider.tell("bill.issued", _bill(owner, phone, number))
        ends.append(await eventually(partial(outsider.ended, event_id), within=30))

    assert [end["sms"] for end in ends] == [("sent", None), ("sent", None), ("blocked", "budget")]
    assert {end["inbox"] for end in ends} == {("sent", None)}
    assert len(await outsider.texts_to(f"976{phone}")) == 2
    told = await eventually(partial(_told, outsider, owner), within=30)
    assert told == ["SMS төсөв 100%", "SMS төсөв 80%"]


async def test_a_flood_of_codes_brings_five_to_the_phone(outsider: Outsider, phone: str) -> None:
    spellings = [phone, f"+976 {phone}", f"00976{phone}", f"976-{phone[:4]}-{phone[4:]}"]
    asked = [
        await outsider.tell("otp.requested", {"phone": spellings[number % 4], "code": "482913"}) for number in range(12)
    ]

    ends = [await eventually(partial(outsider.ended, event_id), within=30) for event_id in asked]

    assert Counter(end["sms"] for end in ends) == {("sent", None): 5, ("blocked", "rate_limited"): 7}
    assert len(await outsider.texts_to(f"976{phone}")) == 5


async def _known(outsider: Outsider, owner: str) -> bool:
    return bool(await outsider.rows("sms", "SELECT FROM budget_limits WHERE owner_id = $1", owner))


async def _told(outsider: Outsider, owner: str) -> list[str]:
    """The titles in the owner's inbox once there are two."""
    rows = await outsider.rows("inbox", "SELECT title FROM notifications WHERE user_id = $1", owner)
    return sorted(row["title"] for row in rows) if len(rows) >= 2 else []


def _bill(owner: str, phone: str, number: int) -> dict[str, object]:
    return {
        "bill_id": f"limits-{uuid4()}",
        "owner_id": owner,
        "recipient": person(phone),
        "month": "2026-11",
        "amount": number,
        "due_date": "2099-12-05",
    }
