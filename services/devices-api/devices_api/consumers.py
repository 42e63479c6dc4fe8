"""What devices-api hears: a token died, a user was deleted, it is time to prune."""

from datetime import timedelta

from spacehub.consuming.subscription import Subscription, one_by_one
from spacehub.errors import PermanentFailure
from spacehub.events.envelope import Event
from spacehub.events.facts import DeviceDied, DevicesPruneDue, UserDeleted
from spacehub.topology import BY_NAME

from devices_api.pruning import Registry, bury, forget_user, prune

WORKERS = 4


def device_events(*, registry: Registry) -> Subscription:
    """The subscription of `devices-api.events`. Every event may come again, late, and in any order."""

    async def handle(event: Event) -> None:
        match event.data:
            case DeviceDied() as death:
                await bury(death.token, user_id=death.user_id, resolved_at=death.resolved_at, registry=registry)
            case UserDeleted(user_id=user_id):
                await forget_user(user_id, registry=registry)
            case DevicesPruneDue(older_than_days=days):
                await prune(timedelta(days=min(days, timedelta.max.days)), registry=registry)
            case other:
                raise PermanentFailure(f"not_for_us: {other.type}")

    return Subscription(BY_NAME["devices-api.events"], one_by_one(handle), workers=WORKERS)
