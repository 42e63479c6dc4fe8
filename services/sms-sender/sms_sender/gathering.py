"""Calls that arrive close to each other travel together: one round trip, one commit for many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

from spacehub.errors import Away
from spacehub.events.cause import because_of

PAUSE = 0.01
"""Seconds from the start of a batch to the start of the next: what comes meanwhile is one batch and not three."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Item, Answer]):
    """One call: its item, its answer to come, and what its caller was doing."""

    item: Item
    answer: "asyncio.Future[Answer]"
    context: Context = field(default_factory=copy_context)


class Gathered(Generic[Item, Answer]):
    """`run` for single items, called with batches of up to `most`: what came in since the batch before began.

    Of what came in while a batch was running, the next one starts `pause` after it or later. A lone call does not wait.
    A batch runs on account of its first caller. An error of a batch that is not Away is narrowed down by running each
    item alone.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, most: int = 200, pause: float = PAUSE
    ) -> None:
        self._run = run
        self._most = most
        self._pause = pause
        self._waiting: list[Waiting[Item, Answer]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        """The answer for `item`. A caller that is cancelled before its batch starts asks for nothing."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(item, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                began = monotonic()
                taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                batch = [call for call in taken if not call.answer.done()]
                if batch:
                    await self._answer(batch)
                if self._waiting:
                    await asyncio.sleep(began + self._pause - monotonic())
        finally:
            self._running = None
            for call in self._waiting:
                call.answer.cancel()
            self._waiting = []

    async def _answer(self, batch: Sequence[Waiting[Item, Answer]]) -> None:
        async def run() -> Sequence[Answer]:
            with because_of(None):
                return await self._run([call.item for call in batch])

        try:
            answers = await asyncio.create_task(run(), context=batch[0].context)
        except Exception as fault:
            if len(batch) > 1 and not isinstance(fault, Away):
                for one in batch:
                    await self._answer([one])
                return
            for call in batch:
                if not call.answer.done():
                    call.answer.set_exception(fault)
        except BaseException:
            for call in batch:
                call.answer.cancel()
            raise
        else:
            for call, given in zip(batch, answers, strict=True):
                if not call.answer.done():
                    call.answer.set_result(given)
