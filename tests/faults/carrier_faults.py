"""Faults of the SMS gateway: refusing, silent, lying, or gone."""

import asyncio
from typing import Any

from tests.faults.faults import Fault
from tests.faults.load import Offering
from tests.faults.world import World


def gateway(mode: str, seconds: float, **more: Any) -> Fault:
    """The gateway behaves as told for a while, then well again."""

    async def fault(world: World, _: Offering) -> str:
        await world.behave(mode, **more)
        await asyncio.sleep(seconds)
        await world.behave()
        return f"for {seconds:g} s"

    return fault


def gateway_down(seconds: float) -> Fault:
    """Nothing listens where the gateway was."""

    async def fault(world: World, _: Offering) -> str:
        await world.gateway.shut()
        try:
            await asyncio.sleep(seconds)
        finally:
            await world.gateway.open()
        return f"connections refused for {seconds:g} s"

    return fault
