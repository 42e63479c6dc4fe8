"""What takes devices away unasked: FCM no longer knows them, their user is gone, or they were not seen for long."""

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

PAGE = 2000
"""Devices looked at in one transaction of a pruning."""

OLDEST = timedelta(days=36_500)
"""No device is older; a longer age would leave the database's calendar."""

_REMOVED = Counter("spacehub_devices_removed", "Devices that were taken away unasked", ["cause"])


class Registry(Protocol):
    """The devices that are known, as far as pruning needs them."""

    async def bury(self, token: str, *, user_id: UUID, resolved_at: datetime) -> int:
        """Forget the token if it is `user_id`'s and was not seen after `resolved_at`; how many were forgotten."""
        ...

    async def remove_user(self, user_id: UUID) -> int:
        """Forget all devices of a user; how many there were."""
        ...

    async def prune_page(self, *, after: UUID | None, unseen_for: timedelta, size: int) -> tuple[UUID | None, int]:
        """Look at the next `size` devices and forget those not seen for so long.

        Gives the id to go on after, None at the end, and how many were forgotten.
        """
        ...


async def bury(token: str, *, user_id: UUID, resolved_at: datetime, registry: Registry) -> None:
    """A push found the token dead. One that was registered again since it was looked up stays."""
    _REMOVED.labels("died").inc(await registry.bury(token, user_id=user_id, resolved_at=resolved_at))


async def forget_user(user_id: UUID, *, registry: Registry) -> None:
    """The user was deleted: so are their devices."""
    _REMOVED.labels("user_deleted").inc(await registry.remove_user(user_id))


async def prune(unseen_for: timedelta, *, registry: Registry, page: int = PAGE) -> int:
    """Forget every device that was not seen for so long, a bounded page at a time; how many those were."""
    after, total, more = None, 0, True
    while more:
        after, removed = await registry.prune_page(after=after, unseen_for=min(unseen_for, OLDEST), size=page)
        _REMOVED.labels("unseen").inc(removed)
        total += removed
        more = after is not None
    log.info("devices_pruned", removed=total, unseen_for_days=unseen_for.days)
    return total
