"""The audit: who did what to dead letters and why, in a queue of the broker's that nobody consumes.

Whoever looks after dead letters has the broker and no database, and the broker keeps a quorum queue as safely as the
letters themselves. A note is there before the deed begins.
"""

import getpass
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from spacehub.confirming import Confirm, Outgoing
from spacehub.errors import Away
from spacehub.looking import channel, taken
from spacehub.rabbit import Publisher
from spacehub.topology import AUDIT

NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the audit. The notes of one deed share its `deed`; `told` is what there is to say of the step."""

    deed: str
    at: str
    by: str
    reason: str
    step: str
    queue: str
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deed:
    """Something a person is about to do to the dead letters of `queue`, and why."""

    queue: str
    by: str
    reason: str
    id: str = field(default_factory=lambda: uuid4().hex[:12])


def somebody() -> str:
    """Who is at the keyboard, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


async def note(deed: Deed, step: str, *, publisher: Publisher, **told: Any) -> None:
    """Write one step of a deed down. Raises Away when the broker did not take it."""
    written = Note(
        deed.id, datetime.now(UTC).isoformat(timespec="seconds"), deed.by, deed.reason, step, deed.queue, told
    )
    body = json.dumps(asdict(written), ensure_ascii=False).encode()
    outgoing = Outgoing(AUDIT, "", body, str(uuid4()), "application/json")
    [confirm] = await publisher.publish([outgoing])
    if confirm is not Confirm.ACKED:
        raise Away(f"rabbitmq: the audit was not written ({confirm.value})")


async def notes(url: str, *, newest: int) -> list[Note]:
    """The newest notes, in the order in which they were written. Raises Away."""
    async with channel(url) as found:
        written = [Note(**json.loads(message.body)) async for message in taken(found, AUDIT, None)]
    return written[-newest:]
