"""Calls travelling together."""

import asyncio
from collections.abc import Sequence

import pytest
from sms_sender.gathering import Gathered
from spacehub.errors import Away
from spacehub.testing.waiting import eventually


class Line:
    """A slow way to double numbers, which remembers the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        await self.open.wait()
        if 13 in numbers:
            raise ValueError("13")
        if 99 in numbers:
            raise Away("line")
        return [2 * number for number in numbers]


@pytest.fixture
async def line() -> Line:
    return Line()


async def test_calls_made_together_travel_together(line: Line) -> None:
    double = Gathered(line.double)

    assert await asyncio.gather(*(double(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert line.batches == [[0, 1, 2, 3, 4]]


async def test_calls_made_during_a_batch_form_the_next(line: Line) -> None:
    double = Gathered(line.double)
    line.open.clear()
    first = asyncio.create_task(double(1))
    await eventually(lambda: line.batches)

    later = asyncio.gather(double(2), double(3))
    await asyncio.sleep(0)
    line.open.set()

    assert [await first, *await later] == [2, 4, 6]
    assert line.batches == [[1], [2, 3]]


async def test_a_batch_waits_for_what_comes_close_to_the_one_before(line: Line) -> None:
    double = Gathered(line.double, pause=0.1)
    line.open.clear()
    first = asyncio.create_task(double(1))
    await eventually(lambda: line.batches)
    second = asyncio.create_task(double(2))
    await asyncio.sleep(0)
    line.open.set()

    await first
    assert [await double(3), await second] == [6, 4]
    assert line.batches == [[1], [2, 3]]


async def test_no_batch_is_larger_than_allowed(line: Line) -> None:
    double = Gathered(line.double, most=2)

    assert await asyncio.gather(*(double(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert line.batches == [[0, 1], [2, 3], [4]]


async def test_one_bad_item_spoils_only_itself(line: Line) -> None:
    double = Gathered(line.double)

    one, bad, two = await asyncio.gather(double(1), double(13), double(2), return_exceptions=True)

    assert (one, two) == (2, 4)
    assert isinstance(bad, ValueError)


async def test_what_is_away_is_away_for_all_and_asked_once(line: Line) -> None:
    double = Gathered(line.double)

    answers = await asyncio.gather(double(1), double(99), return_exceptions=True)

    assert all(isinstance(answer, Away) for answer in answers)
    assert line.batches == [[1, 99]]


async def test_the_line_works_on_after_an_error(line: Line) -> None:
    double = Gathered(line.double)
    with pytest.raises(ValueError, match="13"):
        await double(13)

    assert await double(4) == 8


async def test_a_cancelled_caller_leaves_the_others_alone(line: Line) -> None:
    double = Gathered(line.double)
    line.open.clear()
    leaves, stays = asyncio.create_task(double(1)), asyncio.create_task(double(2))
    await eventually(lambda: line.batches)

    leaves.cancel()
    unheard = asyncio.create_task(double(3))
    await asyncio.sleep(0)
    unheard.cancel()
    line.open.set()

    assert await stays == 4
    assert await double(5) == 10
    assert line.batches == [[1, 2], [5]]
