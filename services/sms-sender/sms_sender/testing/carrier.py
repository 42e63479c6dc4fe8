"""A carrier in memory, and the pace it allows."""

import asyncio
from datetime import UTC, datetime, timedelta

from spacehub.outbox import Lane

from sms_sender.fates import Accepted
from sms_sender.pacing import Permit


class FakeGateway:
    """A carrier that takes every text, except when told otherwise."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.calls = 0
        self._failures: list[tuple[Exception, bool]] = []
        self.answering = asyncio.Event()
        self.answering.set()

    def hang(self) -> None:
        """Nobody gets an answer until `answering` is set."""
        self.answering.clear()

    def fail_next(self, error: Exception, *, taking_it: bool = False) -> None:
        """The next call raises `error`; with `taking_it`, after the carrier took the text."""
        self._failures.append((error, taking_it))

    def texts_to(self, number: str) -> list[str]:
        """What the phone received, in order."""
        return [text for to, text in self.taken if to == number]

    async def send(self, to: str, text: str) -> Accepted:
        self.calls += 1
        error, taking_it = self._failures.pop(0) if self._failures else (None, True)
        if taking_it:
            self.taken.append((to, text))
        await self.answering.wait()
        if error is not None:
            raise error
        return Accepted(f"m-{self.calls}", timedelta(milliseconds=1))


class FakePace:
    """Gives a permit for now to whoever asks, unless it is told to `wait` so long with or without giving one."""

    def __init__(self) -> None:
        self.asked: list[Lane] = []
        self.wait = timedelta()
        self.giving = True

    async def ask(self, lane: Lane) -> Permit:
        self.asked.append(lane)
        return Permit(given=self.giving, wait=self.wait, at=datetime.now(UTC) + self.wait)
