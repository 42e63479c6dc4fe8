"""Ports for private servers: free, below the range outgoing connections use, and reserved while this process lives."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

STANDARD = {5432, 5672, 15672, 25672, 4369, 8080}
_held: dict[int, IO[str]] = {}


class NoFreePort(Exception):
    """Every port of the private range is taken or reserved."""


def reserve_port(preferred: int | None = None) -> int:
    """A port that nobody listens on and that no other launcher or test run is given while this process lives.

    It lies below the kernel's range for outgoing connections, so that a server can come back on it after a kill.
    `preferred` is taken when it is free. Raises NoFreePort.
    """
    candidates = list(_private_range())
    random.shuffle(candidates)
    if preferred is not None:
        candidates.insert(0, preferred)
    for port in candidates:
        if port not in STANDARD and _reserve(port):
            return port
    raise NoFreePort(f"no free port between {min(candidates)} and {max(candidates)}")


def release_port(port: int) -> None:
    """Give a reserved port back; nothing happens when it was not reserved here."""
    if (lock := _held.pop(port, None)) is not None:
        lock.close()


def listening(port: int, *, timeout: float = 0.5) -> bool:
    """Whether something on 127.0.0.1 takes a connection on `port`."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=timeout).close()
    except OSError:
        return False
    return True


def _private_range() -> range:
    """Below 32768, and below where this kernel's outgoing ports start when that is lower."""
    try:
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first_outgoing = 32768
    top = min(first_outgoing, 32768)
    return range(20000, top) if top > 21000 else range(10000, max(top, 20000))


def _reserve(port: int) -> bool:
    if port in _held:
        return False
    directory = Path(tempfile.gettempdir()) / f"spacehub-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    lock = (directory / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return False
    _held[port] = lock
    return True
