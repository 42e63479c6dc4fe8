"""How a handler of batches says that only some of a batch are done, and what is left of the others."""

from dataclasses import dataclass

from spacehub.events.envelope import Event


@dataclass(frozen=True, slots=True)
class HandedBack:
    """One event that is not done, and why; `fault` decides its fate as if it had been raised for this event alone.

    `instead` is what comes back (or becomes the dead letter) in its place: what is left of it to do. It must keep the
    event's id and source.
    """

    event: Event | None
    fault: Exception
    instead: Event | None = None


class Unfinished(Exception):
    """Raised by a handler of which a part is done: the events named here are handed back, the others are acked.

    Without it a batch that fails is tried again one event at a time, and what was done would be done again.
    """

    def __init__(self, handed_back: list[HandedBack]) -> None:
        super().__init__(f"{len(handed_back)} handed back")
        self.handed_back = handed_back


def handed_back(event: Event, fault: Exception | None) -> HandedBack | None:
    """What `fault` means for this very event of the batch (not for a copy of it); None: it is done."""
    if not isinstance(fault, Unfinished):
        return None if fault is None else HandedBack(event, fault)
    return next((back for back in fault.handed_back if back.event is event), None)
