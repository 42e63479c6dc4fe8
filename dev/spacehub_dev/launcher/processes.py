"""What a system is made of: processes, what each is told, and what they find around them."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from spacehub_dev.provisioning.servers import Report

BIN = Path(sys.executable).parent
SIMULATOR_LOGIN = {"USERNAME": "simulator", "PASSWORD": "simulator"}
SMS_NUMBER = "131344"


@dataclass(frozen=True)
class Surroundings:
    """What the processes find around them.

    `directory` is the system's own; `port` gives each that listens a port, by name, and `secret` each secret its value.
    `amqp_url` and `management_url` are the administrator's. `user_prefix` goes before the names of the broker's users;
    None: none can be made, so everybody is the user in `amqp_url`.
    """

    directory: Path
    report: Report
    amqp_url: str
    management_url: str
    databases: Mapping[str, str]
    port: Callable[[str], int]
    secret: Callable[[str], str]
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    user_prefix: str | None = None

    def broker(self, user: str) -> str:
        """The broker's URL for one of its users."""
        return self._as(user, self.amqp_url)

    def management(self, user: str) -> str:
        """The management API's URL for one of the broker's users."""
        return self._as(user, self.management_url)

    def password(self, user: str) -> str:
        """The password of one of the broker's users, the same in every run."""
        return self.secret(f"broker/{user}")

    def _as(self, user: str, url: str) -> str:
        if self.user_prefix is None:
            return url
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        login = f"{quote(self.user_prefix + user, safe='')}:{quote(self.password(user), safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{place}"))

    @property
    def quiet_hours(self) -> str:
        """`HH:MM-HH:MM` or `off`, as the user said; off in development."""
        return self.environment.get("QUIET_HOURS") or "off"


@dataclass(frozen=True)
class ProcessSpec:
    """One process: its name in endpoints.json, its command, its environment on top of the user's, and how to see
    that it is ready: a page on `port` that answers 200 (without a port: that it runs). One that `gives_way` has work
    that can wait: where cores are few, those go first that have not."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    ready_path: str = "/readyz"
    gives_way: bool = False

    @property
    def ready_url(self) -> str | None:
        """The page that answers 200 when the process is ready."""
        return None if self.port is None else f"http://127.0.0.1:{self.port}{self.ready_path}"


@dataclass(frozen=True)
class Plan:
    """All of a system: what must have run before it starts, its processes, and the URLs others are told.

    The steps of `topology` are taken one after the other. `publishers` are the broker's URLs of the other domains.
    """

    migrations: Sequence[ProcessSpec]
    topology: Sequence[ProcessSpec]
    processes: Sequence[ProcessSpec]
    urls: Mapping[str, str]
    publishers: Mapping[str, str] = field(default_factory=dict)
