"""Outcomes and deaths on `spacehub.events`: safe with the broker before the request they speak of is acked."""

from collections.abc import Sequence

from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.events.envelope import Event, write
from spacehub.rabbit import Publisher

MOST = 500
"""Messages published together; more would make one of them wait long for its confirm."""


class PublishedOutcomes:
    """Publishes with confirms; push-sender has no database and so no outbox."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def tell(self, events: Sequence[Event]) -> None:
        """Publish all `events`. Raises Away unless the broker took every one; telling again is harmless."""
        outgoing = [_outgoing(event) for event in events]
        for start in range(0, len(outgoing), MOST):
            confirms = await self._publisher.publish(outgoing[start : start + MOST])
            missing = {confirm.value for confirm in confirms if confirm is not Confirm.ACKED}
            if missing:
                raise Away(f"rabbitmq: {EVENTS_EXCHANGE} did not take an outcome: {', '.join(sorted(missing))}")


def _outgoing(event: Event) -> Outgoing:
    message = write(event)
    return Outgoing(EVENTS_EXCHANGE, message.routing_key, message.body, message.id, message.content_type)
