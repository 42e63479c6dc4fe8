"""The manifests of an overlay by what they mean: workloads, and what each is told, mounts and listens on."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from spacehub.settings import SECRETS
from spacehub_dev.cluster.rendering import Manifest, manifests, overlays

OVERLAYS = overlays()
HEALTH = 8081
PROCESS = "process"


@dataclass(frozen=True)
class Cluster:
    """All that one overlay consists of."""

    overlay: str

    @property
    def manifests(self) -> list[Manifest]:
        return list(manifests(self.overlay))

    def of(self, *kinds: str) -> Iterator[Manifest]:
        return (manifest for manifest in self.manifests if manifest["kind"] in kinds)

    def named(self, kind: str, name: str) -> Manifest:
        """The one of that kind and name. Raises StopIteration."""
        return next(manifest for manifest in self.of(kind) if manifest["metadata"]["name"] == name)

    @cached_property
    def workloads(self) -> dict[str, "Workload"]:
        """Every Deployment and Job, by name."""
        return {found["metadata"]["name"]: Workload(self, found) for found in self.of("Deployment", "Job")}

    @cached_property
    def beside(self) -> dict[str, "Workload"]:
        """Every container that runs beside the process of a pod, by its verbs, such as `keys-keep`."""
        containers = [
            Workload(self, each.manifest, container["name"])
            for each in self.workloads.values()
            for container in each.pod["containers"]
            if container["name"] != PROCESS
        ]
        return {"-".join(each.command[1:]): each for each in containers}

    @cached_property
    def configured(self) -> list["Workload"]:
        """Those that run a service's own command, and so read its settings."""
        return [each for each in self.workloads.values() if each.command[0] == each.service]

    def pods_of(self, selector: Mapping[str, Any]) -> list["Workload"]:
        return [each for each in self.workloads.values() if selects(selector, each.labels)]


@dataclass(frozen=True)
class Workload:
    """One Deployment or Job, by one of its containers: its process, unless another is named."""

    cluster: Cluster
    manifest: Manifest
    container_name: str = PROCESS

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def pod(self) -> Mapping[str, Any]:
        template: Mapping[str, Any] = self.manifest["spec"]["template"]
        return template["spec"]  # type: ignore[no-any-return]

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.manifest["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def service(self) -> str:
        return self.labels["app.kubernetes.io/name"]

    @property
    def container(self) -> Mapping[str, Any]:
        (named,) = (each for each in self.pod["containers"] if each["name"] == self.container_name)
        return named  # type: ignore[no-any-return]

    @property
    def command(self) -> list[str]:
        return list(self.container["command"])

    @property
    def image(self) -> str:
        return str(self.container["image"])

    @property
    def environment(self) -> dict[str, str]:
        """What it is told by variables; one that comes from a Secret or from the pod itself is shown in brackets."""
        told: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            told |= self.cluster.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container.get("env", []):
            told[variable["name"]] = variable.get("value", f"<{variable['name']}>")
        return {name: re.sub(r"\$\((\w+)\)", lambda found: told[found[1]], value) for name, value in told.items()}

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def probes(self) -> dict[str, Mapping[str, Any]]:
        return {name: probe["httpGet"] for name, probe in self.container.items() if name.endswith("Probe")}

    @property
    def volumes(self) -> dict[str, Mapping[str, Any]]:
        return {volume["name"]: volume for volume in self.pod.get("volumes", [])}

    @property
    def mounts(self) -> dict[str, Mapping[str, Any]]:
        """By the path in the container."""
        return {mount["mountPath"]: mount for mount in self.container.get("volumeMounts", [])}

    @property
    def files(self) -> dict[str, tuple[str, str]]:
        """Every file of a Secret where the settings look for it: (Secret, key) by name."""
        found = {}
        for mount in self.mounts.values():
            secret = self.volumes[mount["name"]].get("secret")
            if secret and mount["mountPath"] == SECRETS:
                for item in secret.get("items", []):
                    assert PurePosixPath(item["path"]).name == item["path"]
                    found[item["path"]] = (secret["secretName"], item["key"])
        return found

    @property
    def secrets(self) -> set[tuple[str, str | None]]:
        """Every Secret it reads, with the key; None for all of them."""
        whole: set[tuple[str, str | None]] = {
            (volume["secret"]["secretName"], None)
            for volume in self.volumes.values()
            if "secret" in volume and "items" not in volume["secret"]
        }
        named = {
            (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
            for variable in self.container.get("env", [])
            if "secretKeyRef" in variable.get("valueFrom", {})
        }
        return whole | named | set(self.files.values())


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes something with these labels in."""
    exactly = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    assert all(rule["operator"] == "In" for rule in among)
    return all(labels.get(name) == value for name, value in exactly) and all(
        labels.get(rule["key"]) in rule["values"] for rule in among
    )
