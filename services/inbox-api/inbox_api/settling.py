"""Settling: what the senders tell of their deliveries goes on record, each end once."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog
from spacehub.errors import PermanentFailure
from spacehub.events.envelope import Event

from inbox_api.deliveries import count_ended
from inbox_api.ends import End, Standing, end_told_by, holds

log = structlog.get_logger()


class Transaction(Protocol):
    """What is asked of the database for one batch of outcomes."""

    async def standing(self, deliveries: Iterable[UUID]) -> Mapping[UUID, Standing]:
        """Where these stand; their rows are held until the end."""

    async def record(self, ends: Sequence[End]) -> None:
        """Write how each of these ended."""


class Store(Protocol):
    """The service's database."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...


async def settle(events: Sequence[Event], *, store: Store, clock: Callable[[], datetime]) -> None:
    """Record the outcomes in `events`, in their order; a repeat, or one that comes too late, changes nothing.

    Raises PermanentFailure for what is not an outcome, before anything is written.
    """
    now = clock()
    told = [_end_of(event, now) for event in events]
    async with store.transaction() as transaction:
        standing = await transaction.standing({end.id for end in told})
        ends = settled(told, standing)
        if ends:
            await transaction.record(ends)
    channels = {end.id: event.data.type.partition(".")[0] for end, event in zip(told, events, strict=True)}
    count_ended(Tally((channels[end.id], end.status, end.reason) for end in ends))
    if strangers := {end.id for end in told} - standing.keys():
        log.warning("outcome_without_delivery", count=len(strangers))


def settled(told: Iterable[End], standing: Mapping[UUID, Standing]) -> list[End]:
    """The ends to write, at most one a delivery: those of `told` that hold over what went before."""
    current = dict(standing)
    ends: dict[UUID, End] = {}
    for end in told:
        if end.id in current and holds(end, over=current[end.id]):
            before = current[end.id]
            earlier = ends[end.id].earlier if end.id in ends else ()
            if before.status != "pending":
                end = replace(end, earlier=(*earlier, before))
            current[end.id] = Standing(end.status, end.reason, end.ended_at)
            ends[end.id] = end
    return list(ends.values())


def _end_of(event: Event, now: datetime) -> End:
    end = end_told_by(event, now=now)
    if end is None:
        raise PermanentFailure(f"no_subscriber: {event.data.type}")
    return end
