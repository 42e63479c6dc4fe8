"""A whole system in one directory: servers, databases, topology, processes, all supervised while a block runs."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from spacehub_dev.launcher import endpoints
from spacehub_dev.launcher.backing import Backing, FindBroker, backing_servers
from spacehub_dev.launcher.endpoints import Endpoints
from spacehub_dev.launcher.locking import only_launcher
from spacehub_dev.launcher.parts import whole_system
from spacehub_dev.launcher.processes import Plan, ProcessSpec, Surroundings
from spacehub_dev.launcher.starting import run_once, start_until_ready
from spacehub_dev.launcher.supervising import keep_program, keep_server, stop_programs
from spacehub_dev.provisioning.finding import find_rabbitmq
from spacehub_dev.provisioning.kept import kept_secret
from spacehub_dev.provisioning.leftovers import end_leftovers
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.servers import Report

STOP_SECONDS = 25.0
"""Longer than the 20 s that a process of ours takes to drain."""

SETTLE_SECONDS = 2.0
"""RabbitMQ writes the name of a new quorum queue down half a second late (ra_directory, auto_save): a broker killed
before that comes back with a queue that has no leader, ever. So nobody is told `ready` while it could happen."""


@dataclass
class System:
    """What runs: its servers and, by name, its processes, each of which may be killed or frozen at will."""

    directory: Path
    backing: Backing
    plan: Plan
    programs: Mapping[str, Program]
    keepers: Sequence["asyncio.Task[None]"] = ()

    @property
    def endpoints(self) -> Endpoints:
        """Where everything can be reached now."""
        return Endpoints(
            amqp_url=self.backing.amqp_url,
            management_url=self.backing.rabbitmq.management_url,
            databases=self.backing.databases,
            urls=self.plan.urls,
            publishers=self.plan.publishers,
            processes={name: pid for name, program in self.programs.items() if (pid := program.pid) is not None},
        )


@asynccontextmanager
async def running_system(
    directory: Path,
    *,
    report: Report,
    label: str = "",
    keep_data: bool = True,
    make_plan: Callable[[Surroundings], Plan] = whole_system,
    environment: Mapping[str, str] | None = None,
    rabbitmq_config: Sequence[str] = (),
    find_broker: FindBroker = find_rabbitmq,
    durable: bool | None = None,
) -> AsyncIterator[System]:
    """Boot a system in `directory`; the block runs when every process is ready, and all of it is stopped afterwards.

    `label` keeps its names apart on servers given by URL. Without `keep_data` it begins and ends empty.
    `environment` is what the processes see of the user's (default: all of it). `rabbitmq_config`: further lines for
    the private broker; `find_broker`: where a broker of another make comes from. `durable`: whether a private database
    waits for the disk (default: where data are kept). Raises AlreadyRunning, ServerUnavailable, SystemFailed.
    """
    directory = _made(directory)
    seen = dict(os.environ if environment is None else environment)
    async with AsyncExitStack() as stack:
        stack.enter_context(only_launcher(directory))
        endpoints.path_in(directory).unlink(missing_ok=True)
        stack.callback(endpoints.path_in(directory).unlink, missing_ok=True)
        for name in end_leftovers(directory):
            report(f"{name} was left over from an earlier run: ended")
        if not keep_data:
            for part in ("postgres", "rabbitmq", "logs"):
                shutil.rmtree(directory / part, ignore_errors=True)
        backing = await stack.enter_async_context(
            backing_servers(
                directory,
                report=report,
                label=label,
                keep_data=keep_data,
                config=rabbitmq_config,
                find_broker=find_broker,
                durable=keep_data if durable is None else durable,
            )
        )
        ports: dict[str, int] = {}
        stack.callback(_release, ports)

        def port(name: str) -> int:
            if name not in ports:
                ports[name] = reserve_port()
            return ports[name]

        plan = make_plan(
            Surroundings(
                directory=directory,
                report=report,
                amqp_url=backing.amqp_url,
                management_url=backing.rabbitmq.management_url,
                databases=backing.databases,
                port=port,
                secret=lambda name: kept_secret(directory, name),
                environment=seen,
                user_prefix=backing.user_prefix,
            )
        )
        await _prepare(directory, backing, plan, seen, report)
        settled = asyncio.create_task(asyncio.sleep(SETTLE_SECONDS if backing.ours else 0))
        stack.callback(settled.cancel)
        programs = {spec.name: _program(directory, spec, seen) for spec in plan.processes}
        system = System(directory, backing, plan, programs)
        stack.push_async_callback(_stop, programs, report)
        await start_until_ready(programs, {spec.name: spec.ready_url for spec in plan.processes}, report=report)
        await settled
        system.endpoints.write(directory)
        system.keepers = _keep(system, report)
        stack.push_async_callback(_let_go, system.keepers)
        yield system


async def _prepare(directory: Path, backing: Backing, plan: Plan, seen: Mapping[str, str], report: Report) -> None:
    """Start both servers at the same time; migrate as soon as there is a database, declare once there is a broker."""

    async def once(specs: Sequence[ProcessSpec]) -> None:
        await asyncio.gather(*(run_once(_program(directory, spec, seen), report=report) for spec in specs))

    async def database() -> None:
        await backing.start_postgres()
        await once(plan.migrations)

    async def broker() -> None:
        await backing.start_rabbitmq()
        for spec in plan.topology:
            await once([spec])

    async with asyncio.TaskGroup() as group:
        group.create_task(database())
        group.create_task(broker())


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def _release(ports: Mapping[str, int]) -> None:
    for port in ports.values():
        release_port(port)


def _program(directory: Path, spec: ProcessSpec, seen: Mapping[str, str]) -> Program:
    log = directory / "logs" / f"{spec.name.replace(' ', '-')}.log"
    environment = {**seen, "PYTHONUNBUFFERED": "1", **spec.environment}
    return Program(spec.name, spec.command, directory, log, environment, cwd=directory, gives_way=spec.gives_way)


def _keep(system: System, report: Report) -> list["asyncio.Task[None]"]:
    """Start the supervision of everything; a new pid goes into endpoints.json at once."""

    def restarted() -> None:
        system.endpoints.write(system.directory)

    keepers = [keep_program(program, restarted=restarted, report=report) for program in system.programs.values()]
    keepers.append(keep_server("PostgreSQL", system.backing.postgres, report=report))
    keepers.append(keep_server("RabbitMQ", system.backing.rabbitmq, report=report))
    return [asyncio.create_task(keeper) for keeper in keepers]


async def _let_go(keepers: Sequence["asyncio.Task[None]"]) -> None:
    for keeper in keepers:
        keeper.cancel()
    await asyncio.gather(*keepers, return_exceptions=True)


async def _stop(programs: Mapping[str, Program], report: Report) -> None:
    report("stopping every process")
    for name in await stop_programs(programs, patience=STOP_SECONDS):
        report(f"{name} did not stop within {STOP_SECONDS:.0f} s: killed")
