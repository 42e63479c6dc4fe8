"""Waiting for a condition instead of sleeping."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], *, within: float = 20.0, every: float = 0.02, because: str = ""
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T], *, within: float = 20.0, every: float = 0.02, because: str = ""
) -> T: ...
async def eventually(
    condition: Callable[[], Any], *, within: float = 20.0, every: float = 0.02, because: str = ""
) -> Any:
    """The first truthy answer of `condition`. Fails the test when none comes within so many seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        found = condition()
        answer = await found if isawaitable(found) else found
        if answer:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"did not happen within {within} s: {because or condition}")
        await asyncio.sleep(every)
