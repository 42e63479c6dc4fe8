"""HAProxy for the public entry: a program on this machine, a container, or installed with apt.

`deploy/gateway` says what it does; here is only where it comes from and how it is told its ports.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spacehub_dev.provisioning import apt, docker
from spacehub_dev.provisioning.docker import DockerUnavailable
from spacehub_dev.provisioning.servers import Report, ServerUnavailable

GATEWAY = Path(__file__).resolve().parents[3] / "deploy" / "gateway"
IMAGE = "haproxy:2.6"
PLACES = ":/usr/local/sbin:/usr/sbin"


@dataclass(frozen=True)
class GatewayTokens:
    """Whose tokens the gateway takes, and for whom; `keys` is the file that `spacehub keys keep` keeps."""

    issuer: str
    audience: str
    keys: Path | None = None


@dataclass(frozen=True)
class GatewaySettings:
    """What the gateway is told. `rate_limit` is `off` or requests in a time per client, such as `100/10s`; without
    `tokens` it leaves them to the APIs."""

    port: int
    health_port: int
    devices_api_port: int
    inbox_api_port: int
    rate_limit: str = "off"
    tokens: GatewayTokens | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """For `deploy/gateway/start`."""
        told = {
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_HEALTH_PORT": str(self.health_port),
            "DEVICES_API_ADDRESS": f"127.0.0.1:{self.devices_api_port}",
            "INBOX_API_ADDRESS": f"127.0.0.1:{self.inbox_api_port}",
            "RATE_LIMIT": self.rate_limit,
        }
        if self.tokens is not None:
            told |= {"JWT_ISSUER": self.tokens.issuer, "JWT_AUDIENCE": self.tokens.audience}
            told |= {"JWT_KEYS": str(self.tokens.keys or "")}
        return told


def installed_haproxy() -> str | None:
    """The program on this machine."""
    return shutil.which("haproxy", path=os.environ.get("PATH", os.defpath) + PLACES)


def find_haproxy(*, report: Report) -> str:
    """The program itself, installed with apt where it is absent. Raises ServerUnavailable."""
    if installed_haproxy() is None:
        report("HAProxy: not on this machine, installing it with apt (not started as a service)")
        try:
            apt.install("haproxy", report=report)
        except apt.AptUnavailable as reason:
            raise ServerUnavailable(f"HAProxy cannot be had on this machine: {reason}") from None
    if (found := installed_haproxy()) is None:
        raise ServerUnavailable("HAProxy: installed with apt, but it is nowhere")
    return found


def find_gateway(directory: Path, *, report: Report) -> Sequence[str]:
    """The command that runs the gateway in the foreground for the system in `directory`. Raises ServerUnavailable."""
    start = [str(GATEWAY / "start")]
    if installed_haproxy():
        return start
    reasons = []
    try:
        docker.require_engine()
        return _in_docker(directory, report=report)
    except DockerUnavailable as reason:
        reasons.append(f"Docker: {reason}")
    try:
        report("HAProxy: not on this machine, installing it with apt (not started as a service)")
        apt.install("haproxy", report=report)
        if installed_haproxy():
            return start
        reasons.append("apt: installed, but haproxy is nowhere")
    except apt.AptUnavailable as reason:
        reasons.append(f"apt: {reason}")
    tried = "\n".join(f"  - {reason}" for reason in reasons)
    raise ServerUnavailable(f"HAProxy cannot be had on this machine:\n{tried}\nInstall it or start Docker.")


def _in_docker(directory: Path, *, report: Report) -> Sequence[str]:
    """A container in this machine's network that lives as long as the command; one left by a kill is replaced."""
    image = os.environ.get("HAPROXY_IMAGE", IMAGE)
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode != 0:
        report(f"Docker: pulling {image}")
        if subprocess.run(["docker", "pull", image]).returncode != 0:
            raise DockerUnavailable(f"the image {image} cannot be pulled")
    name = f"spacehub-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}-gateway"
    told = GatewaySettings(0, 0, 0, 0, tokens=GatewayTokens("", "")).environment
    variables = " ".join(f"-e {variable}" for variable in told)
    mounts = f"-v '{GATEWAY}:/gateway:ro' -v '{directory}:{directory}:ro'"
    run = f"--rm --init --name {name} --network host {variables} {mounts} {image} /gateway/start"
    return ["sh", "-c", f"docker rm --force {name} >/dev/null 2>&1; exec docker run {run}"]
