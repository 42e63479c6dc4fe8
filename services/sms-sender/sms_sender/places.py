"""Places at the carrier: how many texts of a lane may be there at once. What has none is not claimed yet."""

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Self

from spacehub.errors import NotNow


class Places:
    """So many of them, given out in the order in which they were asked for."""

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)

    async def take(self, *, until: datetime, stopping: asyncio.Event) -> "Place":
        """One of them, once it is free. Raises NotNow for whoever waited and is told to stop meanwhile."""
        waits = self._free.locked()
        await self._free.acquire()
        if waits and stopping.is_set():
            self._free.release()
            raise NotNow("no_place", not_after=until)
        return Place(self._free)


class Place:
    """One that is taken, for a block or until it is given up before its end."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._back: asyncio.Semaphore | None = free

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.give_up()

    def give_up(self) -> None:
        """Somebody else may have it."""
        back, self._back = self._back, None
        if back is not None:
            back.release()
