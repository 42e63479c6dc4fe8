"""The requests that the stages send on their way: bills as sms-sender gets them, a few hundred bytes each."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from spacehub import outbox
from spacehub.events import envelope
from spacehub.events.catalogue import DELIVERIES_EXCHANGE
from spacehub.events.envelope import Event, Message
from spacehub.events.requests import SmsRequested
from spacehub.outbox import OutboxRow

_numbers = count(10_000_000)
OWNERS = 100


def sms_requests(total: int) -> Iterator[Message]:
    """So many different ones, each to a number of its own."""
    expires = datetime.now(UTC) + timedelta(days=10)
    for number in (next(_numbers) for _ in range(total)):
        sms = uuid4()
        request = SmsRequested(
            source="/billing",
            source_id=f"bill-{number}",
            about="bill.issued",
            critical=False,
            expires_at=expires,
            user_id=UUID(int=number),
            owner_id=UUID(int=number % OWNERS),
            subject=f"bill:A1201-{number}",
            sms_id=sms,
            phone=str(99_000_000 + number % 1_000_000),
            text="11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.",
        )
        yield envelope.write(Event(str(sms), "/inbox-api", request, datetime.now(UTC)))


def outbox_rows(total: int) -> list[OutboxRow]:
    """The same as rows of an outbox."""
    return [outbox.row_of(message, exchange=DELIVERIES_EXCHANGE) for message in sms_requests(total)]


async def fill(connection: Any, rows: list[OutboxRow], *, empty: bool = True) -> None:
    """Put `rows` into an outbox in one commit; it is made `empty` first, and measured for the planner afterwards."""
    if empty:
        await connection.execute("TRUNCATE outbox")
    async with connection.transaction():
        for start in range(0, len(rows), 1000):
            await outbox.write(connection, rows[start : start + 1000])
    if empty:
        await connection.execute("ANALYZE outbox")
