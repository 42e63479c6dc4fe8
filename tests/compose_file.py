"""docker-compose.yml as compose reads it: merged, and with the variables of a filled-in `.env` in place."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<rule>[-?])(?P<word>[^}]*))?\}")


def variables(env: str) -> dict[str, str]:
    """What a `.env` file says."""
    lines = (line for line in env.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def development() -> dict[str, str]:
    """The variables that `make up` writes."""
    filled: str = run_path(str(ROOT / "deploy" / "compose" / "environment.py"))["filled"](EXAMPLE)
    return variables(filled)


@dataclass(frozen=True)
class Service:
    """One service of the file, by the names that compose gives its parts."""

    name: str
    content: Mapping[str, Any]

    @property
    def environment(self) -> Mapping[str, str]:
        told: Mapping[str, str] = self.content.get("environment", {})
        return told

    @property
    def command(self) -> list[str]:
        words: list[str] = self.content.get("command", [])
        return words

    @property
    def waits_for(self) -> dict[str, str]:
        """The condition on each service that must be there before."""
        after: Mapping[str, Mapping[str, str]] = self.content.get("depends_on", {})
        return {name: how["condition"] for name, how in after.items()}

    @property
    def is_ours(self) -> bool:
        """Whether it runs an image that is built here."""
        return "build" in self.content

    @property
    def package(self) -> str:
        """The dist in its image, such as `sms-sender`."""
        return str(self.content["build"]["args"]["SERVICE"])

    @property
    def ports(self) -> set[int]:
        """Where it listens inside its container."""
        told = {int(value) for name, value in self.environment.items() if name.endswith("_PORT")}
        options = {int(after) for word, after in zip(self.command, self.command[1:], strict=False) if word == "--port"}
        return told | options | {"rabbitmq": {5672, 15672}, "postgres": {5432}}.get(self.name, set())


def services(env: Mapping[str, str]) -> dict[str, Service]:
    """Every service, with `env` in place. Raises LookupError when a variable that must be set is not."""

    def value(found: re.Match[str]) -> str:
        given = env.get(found["name"], "")
        if not given and found["rule"] == "?":
            raise LookupError(f"{found['name']} is not set")
        return given or found["word"] or ""

    def filled(part: Any) -> Any:
        match part:
            case str():
                return VARIABLE.sub(value, part)
            case dict():
                return {name: filled(inner) for name, inner in part.items()}
            case list():
                return [filled(inner) for inner in part]
        return part

    content = filled(yaml.safe_load(TEXT)["services"])
    return {name: Service(name, service) for name, service in content.items()}


def merged_twice() -> set[str]:
    """The keys that two mappings of one merge (`<<: [*a, *b]`) both have."""
    return {key for merged in _merges(yaml.compose(TEXT)) for key, times in Counter(merged).items() if times > 1}


def _merges(node: yaml.Node | None) -> Iterator[list[str]]:
    """For every merge of a list, the keys of all its mappings."""
    if isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from _merges(inner)
    if isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            if key.value == "<<" and isinstance(inner, yaml.SequenceNode):
                yield [name for mapping in inner.value for name in _keys(mapping)]
            yield from _merges(inner)


def _keys(mapping: yaml.MappingNode) -> set[str]:
    return {
        name
        for key, inner in mapping.value
        for name in (_keys(inner) if key.value == "<<" and isinstance(inner, yaml.MappingNode) else {key.value})
    }
