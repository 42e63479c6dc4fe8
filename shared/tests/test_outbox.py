"""A row is published if and only if its transaction commits, and only while nothing has closed its subject."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from spacehub import outbox
from spacehub.events.envelope import Event, write
from spacehub.events.facts import BillCancelled
from spacehub.outbox import OutboxRow, row_of

ANNA, BOLD = UUID(int=1), UUID(int=2)


def row(message_id: str, **more: Any) -> OutboxRow:
    return OutboxRow(message_id=message_id, exchange="", routing_key="queue", body=b"{}", **more)


async def waiting(connection: Any) -> list[str]:
    return [found["message_id"] for found in await connection.fetch("SELECT message_id FROM outbox ORDER BY id")]


async def test_rolled_back_row_never_existed(connection: Any) -> None:
    async def fail() -> None:
        async with connection.transaction():
            await outbox.write(connection, [row("m-1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await waiting(connection) == []


async def test_row_keeps_everything_it_was_given(connection: Any) -> None:
    when = datetime(2026, 11, 23, 9, tzinfo=UTC)
    written = OutboxRow(
        message_id="m-1",
        exchange="spacehub.events",
        routing_key="key",
        body=bytes(range(256)),
        lane="critical",
        content_type="text/plain",
        headers={"a": [1, "ө", None]},
        available_at=when,
        subject="bill:1",
        user_id=ANNA,
    )

    await outbox.write(connection, [written])

    found = dict(await connection.fetchrow("SELECT * FROM outbox"))
    assert {name: found[name] for name in OutboxRow.__slots__} == {
        name: getattr(written, name) for name in OutboxRow.__slots__
    }
    assert found["returns"] == 0


async def test_rows_are_due_now_unless_they_say_later(connection: Any) -> None:
    later = datetime(2126, 1, 1, tzinfo=UTC)

    await outbox.write(connection, [row("now"), row("later", available_at=later)])

    due = await connection.fetch("SELECT message_id FROM outbox WHERE available_at <= now()")
    assert [found["message_id"] for found in due] == ["now"]


async def test_message_that_waits_already_stays_as_it_is(connection: Any) -> None:
    await outbox.write(connection, [row("m-1", subject="bill:1")])
    await outbox.write(connection, [row("m-1", subject="bill:2"), row("m-2")])

    assert await waiting(connection) == ["m-1", "m-2"]
    assert await connection.fetchval("SELECT subject FROM outbox WHERE message_id = 'm-1'") == "bill:1"


async def test_nothing_to_write_needs_no_statement(connection: Any) -> None:
    await outbox.write(None, [])

    assert await waiting(connection) == []


async def test_withdrawing_takes_the_closed_subjects_and_users_and_nothing_else(connection: Any) -> None:
    await outbox.write(
        connection,
        [
            row("bill", subject="bill:1"),
            row("reminder", subject="bill:1", user_id=ANNA),
            row("other bill", subject="bill:11"),
            row("anna", user_id=ANNA),
            row("bold", user_id=BOLD),
            row("neither"),
        ],
    )

    by_subject = await outbox.withdraw(connection, subjects=["bill:1", "bill:2"])
    by_user = await outbox.withdraw(connection, users=[ANNA])
    by_nothing = await outbox.withdraw(connection)

    assert (sorted(by_subject), by_user, by_nothing) == (["bill", "reminder"], ["anna"], [])
    assert await waiting(connection) == ["other bill", "bold", "neither"]


async def test_unknown_lane_is_refused_by_the_table(connection: Any) -> None:
    with pytest.raises(Exception, match="outbox_lane_check"):
        await outbox.write(connection, [row("m-1", lane="urgent")])


def test_row_of_a_message_publishes_that_message() -> None:
    message = write(Event("e-1", "/billing", BillCancelled(bill_id="A-1")))
    when = datetime(2026, 11, 23, tzinfo=UTC)

    made = row_of(
        message, exchange="spacehub.events", lane="critical", available_at=when, subject="bill:1", user_id=ANNA
    )

    assert (made.message_id, made.routing_key, made.body) == ("e-1", "bill.cancelled", message.body)
    assert (made.content_type, made.exchange) == (message.content_type, "spacehub.events")
    assert (made.lane, made.available_at, made.subject, made.user_id) == ("critical", when, "bill:1", ANNA)
