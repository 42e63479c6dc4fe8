"""Settling: a person's word on an SMS of which nobody knows whether it was sent."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from sms_sender import outcomes
from sms_sender.attempts import State
from sms_sender.outcomes import Outcome
from sms_sender.word import Word

NOT_SENT = "not_sent"
"""The reason of an SMS that a person found out was never sent."""


class NotSettled(Exception):
    """The word cannot be taken, for the reason told; nothing was changed."""


class InDoubt(Protocol):
    """One SMS, held until the end of a transaction."""

    @property
    def state(self) -> State: ...
    async def end(self, outcome: Outcome) -> None:
        """It ends so, and the event that says so is published."""
        ...

    async def reopen(self) -> None:
        """It waits for a new series of attempts, with no doubt about the old ones left."""
        ...

    async def note(self, word: Word) -> None:
        """Remember who decided what, and why."""
        ...


class Doubts(Protocol):
    """Where SMS in doubt are kept."""

    def held(self, sms_id: UUID) -> AbstractAsyncContextManager[InDoubt | None]:
        """The SMS of that id, if there is one."""
        ...


async def settle(word: Word, *, doubts: Doubts) -> None:
    """Take a person's word on an SMS that is unknown. Raises NotSettled."""
    async with doubts.held(word.sms_id) as sms:
        if sms is None:
            raise NotSettled("there is no such SMS")
        state = sms.state
        if state.status != "unknown":
            raise NotSettled(f"it is {state.status}, not unknown")
        if word.was_sent:
            await sms.end(outcomes.sent(None))
        elif not word.resend:
            await sms.end(outcomes.failed(NOT_SENT))
        elif state.closed:
            raise NotSettled("what it speaks of is closed: it would never be sent")
        elif state.expires_at <= state.now:
            raise NotSettled("it has expired: it would never be sent")
        else:
            await sms.reopen()
        await sms.note(word)
