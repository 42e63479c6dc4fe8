"""Faults of a broker of three nodes: its leader killed, a minority cut off, the majority lost.

Real: the nodes are RabbitMQ's own, the queues have a member on each, a killed node is killed with SIGKILL, and a node
that is cut off lives on and serves its clients until it finds itself in the minority (`pause_minority`). Not real: all
three share a machine, and the cut is made in Erlang's distribution (no side lets the other in), not in a cable.
"""

import asyncio
from time import monotonic

import httpx
from spacehub.testing.waiting import eventually

from tests.faults.cluster import SIZE
from tests.faults.experiment import IN_DOUBT, Experiment
from tests.faults.load import Load, Offering
from tests.faults.world import Setting, World

WATCHED = "sms-sender.critical"
"""The queue whose leader is meant."""
MEANWHILE = 100
"""Events that must be confirmed while a node is away."""


async def leader_killed(world: World, offering: Offering) -> str:
    """kill -9 of the node that leads the queues; the other two go on, and it comes back later."""
    leader = await leader_of(world)
    began = monotonic()
    await asyncio.to_thread(world.cluster.down, leader)
    took = await _served(world, offering, 1)
    await _served(world, offering, MEANWHILE)
    away = monotonic() - began
    await asyncio.to_thread(world.cluster.up, leader)
    whole = await everybody_there(world)
    return f"confirms again after {took:.1f} s, {MEANWHILE} events more in {away:.0f} s without it; {whole}"


async def minority_cut_off(world: World, offering: Offering) -> str:
    """The node that leads the queues lives on, but neither reaches the others nor they it; later it does again."""
    leader = await leader_of(world)
    began = monotonic()
    await asyncio.to_thread(world.cluster.part, leader)
    await eventually(lambda: _is_paused(world, leader), within=60, every=0.5, because="the minority should pause")
    paused = monotonic() - began
    await _served(world, offering, MEANWHILE)
    await asyncio.to_thread(world.cluster.join, leader)
    whole = await everybody_there(world)
    return f"it paused itself after {paused:.1f} s, {MEANWHILE} events more without it; {whole}"


async def majority_lost(world: World, offering: Offering) -> str:
    """kill -9 of two nodes, the leader among them: nothing can be confirmed until they are back."""
    leader = await leader_of(world)
    lost = [leader, next(name for name in world.cluster.nodes if name != leader)]
    [left] = world.cluster.nodes.keys() - set(lost)
    for name in lost:
        await asyncio.to_thread(world.cluster.down, name)
    await eventually(lambda: _is_paused(world, left), within=60, every=0.5, because="the last node should pause")
    before = len(offering.confirmed)
    await asyncio.sleep(10)
    meanwhile = len(offering.confirmed) - before
    await asyncio.to_thread(world.cluster.up, *lost)
    whole = await everybody_there(world)
    return f"{meanwhile} events confirmed in 10 s without a majority; {whole}"


async def leader_of(world: World) -> str:
    """The node that leads the watched queue."""
    return str((await world.manage("GET", f"/api/queues/%2F/{WATCHED}")).json()["leader"])


async def everybody_there(world: World) -> str:
    """Wait until every queue has a member on each node and all of them take part; how long that took."""
    began = monotonic()
    short: list[str] = []

    async def all_there() -> bool:
        nonlocal short
        try:
            queues = (await world.manage("GET", "/api/queues?columns=name,members,online")).json()
        except httpx.HTTPError:
            return False
        short = [
            f"{queue['name']}: {len(queue.get('online', ()))} of {len(queue.get('members', ()))}"
            for queue in queues
            if not len(queue.get("members", ())) == len(queue.get("online", ())) == SIZE
        ]
        return bool(queues) and not short

    try:
        await eventually(all_there, within=120, every=0.5)
    except AssertionError:
        raise AssertionError(f"not every queue has its three members: {short}") from None
    return f"every queue has its three members {monotonic() - began:.0f} s after it was healed"


async def _served(world: World, offering: Offering, more: int) -> float:
    """Wait until so many events more are confirmed; how long that took."""
    began, goal = monotonic(), len(offering.confirmed) + more
    await world.confirmed(offering, goal)
    return monotonic() - began


async def _is_paused(world: World, name: str) -> bool:
    """Whether a node has stopped serving because it is in the minority."""
    said = await asyncio.to_thread(world.cluster.nodes[name].control, "eval", "rabbit:is_running().")
    return said.strip() == "false"


THREE_NODES = Setting(nodes=SIZE)
LOAD = (300, 600, 20.0)

CLUSTER = [
    Experiment(
        "cluster leader killed",
        "three brokers: kill -9 of the one that leads the queues",
        leader_killed,
        Load(*LOAD, seed=91),
        allowed=IN_DOUBT,
        setting=THREE_NODES,
    ),
    Experiment(
        "cluster minority cut off",
        "three brokers: the one that leads the queues is cut off from the other two",
        minority_cut_off,
        Load(*LOAD, seed=92),
        allowed=IN_DOUBT,
        setting=THREE_NODES,
    ),
    Experiment(
        "cluster majority lost",
        "three brokers: kill -9 of two, the leader among them",
        majority_lost,
        Load(seed=93),
        allowed=IN_DOUBT,
        setting=THREE_NODES,
    ),
]
