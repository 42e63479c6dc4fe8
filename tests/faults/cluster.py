"""A broker of three nodes on this machine, reached by one name, as a Kubernetes service gives it.

The name is HAProxy's: each new connection goes to the next node that greets clients, and one to a node that no longer
does is cut. Each node is a RabbitMQ of its own, with ports and data of its own; they share epmd and cookie.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from spacehub_dev.provisioning import rabbitmq
from spacehub_dev.provisioning.haproxy import find_haproxy
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import Program
from spacehub_dev.provisioning.rabbitmq import PrivateRabbit
from spacehub_dev.provisioning.servers import Report, ServerUnavailable

SIZE = 3

_BALANCED = """
listen {name}
    bind 127.0.0.1:{port}
    balance roundrobin
    {check}
    default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}"""
_HAPROXY = """
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
    retries 3
    option redispatch 1
"""
_GREETS = "option tcp-check\n    tcp-check send-binary 414d515000000901\n    tcp-check expect rbinary ^01"
"""A client's first eight bytes, and the method frame by which a broker that serves clients answers (AMQP 0-9-1)."""
_MANAGES = "option httpchk GET /api/index.html"


class Cluster:
    """Three nodes and their one name. What is `down` on purpose stays so until it is `up` again."""

    def __init__(self, directory: Path, *, report: Report, config: Sequence[str]) -> None:
        binaries = rabbitmq.installed_binaries()
        if binaries is None:
            raise ServerUnavailable("a cluster needs a RabbitMQ that is installed on this machine")
        lines = [*config, "cluster_partition_handling = pause_minority"]
        first = PrivateRabbit(binaries, directory, config=lines, name="rabbitmq-1")
        others = [
            PrivateRabbit(binaries, directory, config=lines, name=f"rabbitmq-{number}", beside=first)
            for number in range(2, SIZE + 1)
        ]
        self.nodes = {node.node: node for node in (first, *others)}
        lines.append("cluster_formation.peer_discovery_backend = classic_config")
        lines += [f"cluster_formation.classic_config.nodes.{at} = {name}" for at, name in enumerate(self.nodes, 1)]
        self._ports = {name: reserve_port() for name in ("amqp", "management")}
        self._down: set[str] = set()
        configuration = directory / "cluster.cfg"
        configuration.write_text(self._balancing())
        command = [find_haproxy(report=report), "-f", str(configuration), "-db"]
        self._name = Program("one name", command, directory, directory / "logs" / "cluster-name.log")

    @property
    def url(self) -> str:
        return _at(next(iter(self.nodes.values())).url, self._ports["amqp"])

    @property
    def management_url(self) -> str:
        return _at(next(iter(self.nodes.values())).management_url, self._ports["management"])

    @property
    def pid(self) -> int | None:
        return self._name.pid

    def start(self) -> None:
        """Start what is not running; the first time all at once, so that they find each other."""
        missing = [node for name, node in self.nodes.items() if name not in self._down and not node.alive()]
        if missing:
            missing[0].start_epmd()
            with ThreadPoolExecutor(len(missing)) as pool:
                list(pool.map(PrivateRabbit.start, missing))
        if not self._name.alive():
            self._name.start()

    def down(self, name: str) -> None:
        """SIGKILL for one node, which stays away."""
        self._down.add(name)
        self.nodes[name].kill()

    def up(self, *names: str) -> None:
        """These nodes come back, together."""
        self._down.difference_update(names)
        self.start()

    def part(self, name: str) -> None:
        """Cut one node off from the others: its cookies for them no longer match, so no side lets the other in."""
        self._whisper(name, "erlang:set_cookie(N, parted), erlang:disconnect_node(N)")

    def join(self, name: str) -> None:
        """Let it reach the others again."""
        self._whisper(name, "erlang:set_cookie(N, erlang:get_cookie()), net_kernel:connect_node(N)")

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` says at a node that is up."""
        return next(node for name, node in self.nodes.items() if name not in self._down).control(*arguments)

    def stop(self) -> None:
        self._name.stop()
        for node in reversed(self.nodes.values()):
            node.stop()

    def kill(self) -> None:
        for node in self.nodes.values():
            node.kill()

    def suspend(self) -> None:
        for node in self.nodes.values():
            node.suspend()

    def resume(self) -> None:
        for node in self.nodes.values():
            node.resume()

    def alive(self) -> bool:
        return self._name.alive() and all(node.alive() for name, node in self.nodes.items() if name not in self._down)

    def discard(self) -> None:
        """Kill all of it and delete its data."""
        self._name.kill()
        for node in reversed(self.nodes.values()):
            node.discard()
        for port in self._ports.values():
            release_port(port)

    def _whisper(self, name: str, expression: str) -> None:
        others = ", ".join(f"'{other}'" for other in self.nodes if other != name)
        self.nodes[name].control("eval", f"[begin {expression} end || N <- [{others}]].")

    def _balancing(self) -> str:
        places = {"amqp": _GREETS, "management": _MANAGES}
        blocks = [_HAPROXY]
        for name, check in places.items():
            ports = [node.ports[name] for node in self.nodes.values()]
            servers = "\n".join(f"    server node{at} 127.0.0.1:{port}" for at, port in enumerate(ports, 1))
            blocks.append(_BALANCED.format(name=name, port=self._ports[name], check=check, servers=servers))
        return "".join(blocks) + "\n"


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
