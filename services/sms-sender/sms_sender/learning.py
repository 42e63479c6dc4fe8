"""Taking in what other domains say: which subjects are closed, who was deleted, and what an owner may spend."""

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from spacehub.errors import Unreadable
from spacehub.events import facts
from spacehub.events.envelope import Event

from sms_sender.closings import Closing, Limit, decision_of, fact_id


class Learning(Protocol):
    """One transaction in which facts are taken in. What is older than what is known of the same changes nothing."""

    async def now(self) -> datetime:
        """The moment of receipt, for facts that do not say when they happened."""
        ...

    async def unseen(self, ids: Iterable[UUID]) -> AbstractSet[UUID]:
        """Those of `ids` that were never taken in; from now on they were."""
        ...

    async def close(self, closings: Collection[Closing]) -> None:
        """Write tombstones, and lift them; at most one of a subject."""
        ...

    async def limit(self, limits: Collection[Limit]) -> None:
        """Write what owners may spend; at most one of an owner."""
        ...

    async def erase(self, users: Collection[UUID]) -> None:
        """Take what points to these people out of the SMS that have their end."""
        ...


class Facts(Protocol):
    """Where facts are kept."""

    def learning(self) -> AbstractAsyncContextManager[Learning]: ...


async def learn(events: Sequence[Event], *, facts_kept: Facts) -> None:
    """Take in `events` in the order of their arrival: the newest wins, at a tie the later, and a copy changes nothing.

    Raises Unreadable when an event is of a type that decides nothing here.
    """
    async with facts_kept.learning() as book:
        now = await book.now()
        unseen = set(await book.unseen(map(fact_id, events)))
        closings: dict[str, Closing] = {}
        limits: dict[UUID, Limit] = {}
        deleted: set[UUID] = set()
        for event in events:
            if (number := fact_id(event)) not in unseen:
                continue
            unseen.discard(number)
            match decision_of(event, now=now):
                case Closing(subject, _, at) as closing:
                    if subject not in closings or at >= closings[subject].decided_at:
                        closings[subject] = closing
                case Limit(owner, _, at) as limit:
                    if owner not in limits or at >= limits[owner].set_at:
                        limits[owner] = limit
                case None:
                    raise Unreadable(f"no_such_type: type: {event.data.type} does not belong here")
            if isinstance(event.data, facts.UserDeleted):
                deleted.add(event.data.user_id)
        await book.close(closings.values())
        await book.erase(deleted)
        await book.limit(limits.values())
