"""One whole system for all journeys, booted as `make run` boots it, seen through an outsider's eyes."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from spacehub_dev.launcher.system import System, running_system

from tests.journeys.outsider import Outsider

_fresh = count(99_000_001)


@pytest.fixture
def phone() -> str:
    """Eight digits of a mobile number that no other test uses."""
    return str(next(_fresh))


@pytest.fixture(scope="session")
async def system(server_directory: Path) -> AsyncIterator[System]:
    """Every process, on private servers."""
    async with running_system(
        server_directory / "journeys", report=print, label="journeys", keep_data=False
    ) as running:
        yield running


@pytest.fixture
async def outsider(system: System) -> AsyncIterator[Outsider]:
    """Another domain, which publishes events and sees what phones and inboxes receive."""
    async with Outsider.of(system.endpoints.content()) as one:
        yield one
