"""`.run/endpoints.json`: where a running system can be reached, for people, tests and tools."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Endpoints:
    """The file's content. `urls` are the keys of their own, such as `sms_simulator_url`.

    `amqp_url` may do everything; each of `publishers` only what the domain of its name may.
    """

    amqp_url: str
    management_url: str
    databases: Mapping[str, str]
    urls: Mapping[str, str]
    processes: Mapping[str, int]
    publishers: Mapping[str, str]

    def content(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "amqp_url": self.amqp_url,
            "management_url": self.management_url,
            **self.urls,
            "publishers": dict(self.publishers),
            "databases": dict(self.databases),
            "processes": dict(self.processes),
        }

    def write(self, directory: Path) -> None:
        """Replace the file as a whole: a reader sees the old one or the new one. It holds passwords: owner only."""
        draft = directory / "endpoints.json.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.content(), file, indent=2)
            file.write("\n")
        draft.replace(path_in(directory))


def path_in(directory: Path) -> Path:
    """Where the file lies."""
    return directory / "endpoints.json"
