"""What may still be sent: within the owners' budgets, the codes that one phone may get, and the ceiling of a minute.

It is taken in the transaction of the claim and given back in that of an end which says that nothing was sent. Locks
come in one order: SMS, phones, owners' months, the last minute; each kind sorted.
"""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from sms_sender import budget_months, code_counts, outcomes, statements
from sms_sender.attempts import OTP
from sms_sender.ceiling import Ceiling
from sms_sender.fates import CeilingReached
from sms_sender.outcomes import Outcome

Rows = Sequence[Any]
"""Rows of `sms` that the caller's transaction holds."""


class Allowance:
    """`ceiling`: the most SMS a minute, if there is such a limit."""

    def __init__(self, *, ceiling: int | None = None) -> None:
        self._ceiling = Ceiling(ceiling) if ceiling is not None else None

    async def take_all(self, connection: Any, rows: Rows, *, critical: bool) -> AbstractSet[UUID]:
        """Take what these new SMS of one lane need. The others, which took nothing, are to be judged one by one.

        An owner's SMS fit together or none does; of the codes for one phone only one is counted here.
        """
        counted = await _count_codes(connection, rows)
        reserved = await _reserve(connection, counted, critical=critical)
        going = reserved
        if self._ceiling and reserved:
            taken, _ = await self._ceiling.take(connection, len(reserved), critical=critical)
            going = reserved[:taken]
        ids = {row["sms_id"] for row in going}
        await _give_back_codes(connection, [row for row in counted if row["sms_id"] not in ids])
        await _give_back_segments(connection, [row for row in reserved if row["sms_id"] not in ids])
        return {row["sms_id"] for row in rows} - ids

    async def take(self, connection: Any, row: Any) -> Outcome | None:
        """Take what this SMS needs for its next attempt and does not hold yet; its end, if it may not have that.

        Raises CeilingReached: then nothing of the transaction should stay.
        """
        if row["about"] == OTP and not await _count_codes(connection, [row]):
            return outcomes.blocked(outcomes.RATE_LIMITED)
        if row["budget_month"] is None and not await _reserve(connection, [row], critical=row["critical"]):
            await budget_months.refuse(connection, row["owner_id"], month=row["month"])
            return outcomes.blocked(outcomes.BUDGET)
        if self._ceiling:
            taken, wait = await self._ceiling.take(connection, 1, critical=row["critical"])
            if not taken:
                self._ceiling.alert(critical=row["critical"])
                raise CeilingReached("ceiling", retry_in=wait, not_after=row["expires_at"])
        return None


async def give_back(connection: Any, rows: Rows) -> None:
    """These SMS have their end and were never sent: what they took is free again."""
    await _give_back_codes(connection, rows)
    await _give_back_segments(connection, rows)


async def count_late(connection: Any, row: Any) -> None:
    """This SMS was sent after all, though it gave back its segments: they count, whatever the limit says."""
    if row["owner_id"] is not None and row["budget_month"] is None:
        await _reserve(connection, [row], critical=True)
        await connection.execute(statements.HOLD_BUDGET, row["sms_id"], row["month"])


async def _count_codes(connection: Any, rows: Rows) -> Rows:
    """Those of `rows` that are no codes, and those whose phone had room for them."""
    codes = {row["phone_hash"]: row["sms_id"] for row in rows if row["about"] == OTP}
    if not codes:
        return rows
    counted = await code_counts.count(connection, codes)
    return [
        row
        for row in rows
        if row["about"] != OTP or (row["phone_hash"] in counted and codes[row["phone_hash"]] == row["sms_id"])
    ]


async def _reserve(connection: Any, rows: Rows, *, critical: bool) -> Rows:
    """Those of `rows` that have no owner, and those that fit into their owner's month."""
    wanted: Counter[UUID] = Counter()
    for row in rows:
        if row["owner_id"] is not None:
            wanted[row["owner_id"]] += row["segments"]
    if not wanted:
        return rows
    fitting = await budget_months.reserve(connection, wanted, month=rows[0]["month"], critical=critical)
    return [row for row in rows if row["owner_id"] is None or row["owner_id"] in fitting]


async def _give_back_codes(connection: Any, rows: Rows) -> None:
    codes = {row["sms_id"]: row["phone_hash"] for row in rows if row["about"] == OTP}
    if codes:
        await code_counts.give_back(connection, codes.values(), codes.keys())


async def _give_back_segments(connection: Any, rows: Rows) -> None:
    if owned := [row["sms_id"] for row in rows if row["owner_id"] is not None]:
        await budget_months.give_back(connection, owned)
