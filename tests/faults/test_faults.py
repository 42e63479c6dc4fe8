"""The short form of `make faults`: the quickest and most telling experiments, one after the other on one system."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.experiment import Experiment
from tests.faults.experiments import EXPERIMENTS
from tests.faults.running import run
from tests.faults.world import Setting, World, open_world

SHORT = [experiment for experiment in EXPERIMENTS if experiment.short]


@pytest.fixture(scope="module")
async def world(server_directory: Path) -> AsyncIterator[World]:
    """A whole system, with wires to its database and its gateway that can be cut."""
    async with open_world(server_directory / "faults", report=print, setting=Setting()) as opened:
        yield opened


@pytest.mark.parametrize("experiment", SHORT, ids=lambda experiment: experiment.name.replace(" ", "-"))
async def test_nothing_is_lost_and_nothing_paid_for_twice(world: World, experiment: Experiment) -> None:
    result = await run(world, experiment)

    assert result.counts.problems == []
    assert (result.counts.lost, result.counts.unexpected) == (0, 0)
    assert result.counts.duplicated <= result.counts.ambiguous
