"""In the running system those give way whose work can wait, and nobody else."""

import os

from spacehub_dev.launcher.system import System
from spacehub_dev.provisioning.program import NICENESS


async def test_processes_whose_work_can_wait_give_way_and_no_others(system: System) -> None:
    found = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in system.endpoints.processes.items()}

    ours = os.getpriority(os.PRIO_PROCESS, 0)
    expected = {spec.name: ours + NICENESS * spec.gives_way for spec in system.plan.processes}
    assert found == expected
    assert max(found.values()) > min(found.values())
