"""`make run` with stand-ins instead of our processes: `python -m spacehub_dev.testing.standin_system DIRECTORY`."""

import sys
from collections.abc import Callable
from pathlib import Path

from spacehub_dev.launcher.processes import Plan, ProcessSpec, Surroundings
from spacehub_dev.launcher.running import run

STANDIN = Path(__file__).with_name("standin.py")


def standin(name: str, port: int, manner: str = "") -> ProcessSpec:
    """One stand-in."""
    command = [sys.executable, str(STANDIN), str(port), *([manner] if manner else [])]
    return ProcessSpec(name, command, port=port)


def standins(manner: str = "") -> Callable[[Surroundings], Plan]:
    """A system of two processes; the second behaves in its `manner`."""

    def plan(around: Surroundings) -> Plan:
        first = standin("postman consume", around.port("first"))
        second = standin("postman forward", around.port("second"), manner)
        prepare = [ProcessSpec("postman migrate", ["true"])]
        declare = [sys.executable, "-m", "spacehub_dev.testing.standin_topology", around.amqp_url]
        topology = [ProcessSpec("postman topology", declare)]
        return Plan(prepare, topology, [first, second], {"letters_url": "http://127.0.0.1:1"})

    return plan


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), make_plan=standins()))
