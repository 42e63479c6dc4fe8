"""Logs are JSON, a line each, and tell where a fault came from without what it was about."""

import json
from pathlib import Path
from typing import Any

import pytest
from spacehub.testing.programs import program

LOGGING = Path(__file__).parent / "programs" / "logging_all.py"
SECRET = "99112233"


@pytest.fixture(scope="module")
async def lines() -> list[dict[str, Any]]:
    async with program(LOGGING, SECRET) as process:
        assert await process.ends() == 0
        return [json.loads(line) for line in process.lines]


def named(lines: list[dict[str, Any]], event: str) -> dict[str, Any]:
    [line] = [line for line in lines if line["event"] == event]
    return line


async def test_line_tells_its_process_time_level_and_values(lines: list[dict[str, Any]]) -> None:
    line = named(lines, "plain")

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "plain",
        "process": "test consume",
        "level": "info",
        "logger": "ours",
        "count": 3,
        "name": "Зайсан",
    }


async def test_libraries_write_the_same_kind_of_line_and_less_of_it(lines: list[dict[str, Any]]) -> None:
    line = named(lines, "plain words")

    assert (line["level"], line["logger"], line["process"]) == ("warning", "library", "test consume")
    assert not {"too_fine", "chatter"} & {line["event"] for line in lines}


async def test_fault_is_told_by_its_place_and_class_with_what_led_to_it(lines: list[dict[str, Any]]) -> None:
    told = named(lines, "failed")["exception"]

    assert told.index("builtins.KeyError") < told.index("builtins.RuntimeError")
    assert "logging_all.py" in told
    assert "in fail" in told
    assert named(lines, "failed")["id"] == "e-1"


async def test_words_of_our_own_errors_are_told(lines: list[dict[str, Any]]) -> None:
    assert "spacehub.errors.Away: postgresql: away" in named(lines, "paused")["exception"]


async def test_no_line_holds_what_a_fault_was_about(lines: list[dict[str, Any]]) -> None:
    assert SECRET not in json.dumps(lines)
    assert "pydantic_core" in named(lines, "invalid")["exception"]
