"""In a cluster too, the gateway verifies signatures: its pod keeps the issuer's keys beside HAProxy (decision 35)."""

import re
from pathlib import PurePosixPath

import pytest
import typer
from spacehub import health
from spacehub.cli.main import app
from spacehub.settings import SECRETS
from spacehub_dev.cluster import secrets
from typer.core import TyperCommand, TyperGroup

from tests.cluster_manifests import OVERLAYS, Cluster, Workload

CLUSTERS = [Cluster(overlay) for overlay in OVERLAYS]
every_cluster = pytest.mark.parametrize("cluster", CLUSTERS, ids=OVERLAYS)


def the_command(keeping: Workload) -> TyperCommand:
    """The command of ours that the container runs."""
    found = typer.main.get_command(app)
    for name in keeping.command[1:]:
        assert isinstance(found, TyperGroup)
        found = found.commands[name]
    assert isinstance(found, TyperCommand)
    return found


@every_cluster
def test_what_keeps_the_keys_is_told_what_it_reads_and_nothing_else(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = cluster.beside["keys-keep"]
    command = the_command(keeping)
    named = [[each.envvar] if isinstance(each.envvar, str) else each.envvar or [] for each in command.params]
    read = {variable for variables in named for variable in variables}
    for variable in read:
        monkeypatch.delenv(variable, raising=False)
    for name, value in keeping.environment.items():
        monkeypatch.setenv(name, value)

    understood = command.make_context("keep", []).params

    assert set(keeping.environment) <= read
    assert str(understood["file"]) == keeping.environment["SPACEHUB_KEYS"]
    assert understood["health_host"] == "0.0.0.0"
    assert understood["health_port"] == int(keeping.environment["SPACEHUB_HEALTH_PORT"])
    assert bool(understood["jwks_url"]) != bool(understood["jwks_file"])


@every_cluster
def test_the_gateway_takes_the_tokens_that_the_apis_take_by_the_same_keys(cluster: Cluster) -> None:
    gateway, keeping, made_up = cluster.workloads["gateway"], cluster.beside["keys-keep"], secrets.made_up()

    for name in ("inbox-api", "devices-api"):
        api = cluster.workloads[f"{name}-serve"]
        told = {key.removeprefix(f"{name.replace('-', '_').upper()}_"): text for key, text in api.environment.items()}
        assert gateway.environment["JWT_ISSUER"] == told["JWT_ISSUER"]
        assert gateway.environment["JWT_AUDIENCE"] == told["JWT_AUDIENCE"]
        assert keeping.environment.get("SPACEHUB_JWKS_URL") == told.get("JWT_JWKS_URL")
        assert keeping.environment.get("SPACEHUB_JWKS_FILE") == told.get("JWT_JWKS_FILE")
        if file := told.get("JWT_JWKS_FILE"):
            assert PurePosixPath(file).parent == PurePosixPath(SECRETS)
            ours, theirs = (each.files[PurePosixPath(file).name] for each in (keeping, api))
            assert made_up[ours[0]][ours[1]] == made_up[theirs[0]][theirs[1]]


@every_cluster
def test_the_file_of_keys_is_written_by_one_and_only_read_by_the_other(cluster: Cluster) -> None:
    gateway, keeping = cluster.workloads["gateway"], cluster.beside["keys-keep"]
    written, read = (
        (each.mounts[str(PurePosixPath(each.environment[name]).parent)], PurePosixPath(each.environment[name]).name)
        for each, name in ((keeping, "SPACEHUB_KEYS"), (gateway, "JWT_KEYS"))
    )

    assert (written[0]["name"], written[1]) == (read[0]["name"], read[1])
    assert "sizeLimit" in gateway.volumes[written[0]["name"]]["emptyDir"]
    assert not written[0].get("readOnly")
    assert read[0]["readOnly"] is True
    assert "subPath" not in {**written[0], **read[0]}  # the file is replaced as a whole
    assert not gateway.secrets


@every_cluster
def test_neither_can_write_anywhere_else_but_where_the_gateway_makes_its_configuration(cluster: Cluster) -> None:
    gateway, keeping = cluster.workloads["gateway"], cluster.beside["keys-keep"]

    assert keeping.container["securityContext"] == gateway.container["securityContext"]
    assert gateway.container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {path for path, mount in keeping.mounts.items() if not mount.get("readOnly")} == {"/keys"}
    assert {path for path, mount in gateway.mounts.items() if not mount.get("readOnly")} == {"/tmp"}
    assert "emptyDir" in gateway.volumes[gateway.mounts["/tmp"]["name"]]
    assert "TMPDIR" not in gateway.environment


@every_cluster
def test_what_keeps_the_keys_is_asked_where_it_listens_and_never_for_the_issuer(cluster: Cluster) -> None:
    gateway, keeping = cluster.workloads["gateway"], cluster.beside["keys-keep"]
    port = int(keeping.environment["SPACEHUB_HEALTH_PORT"])

    assert set(keeping.ports.values()) == {port}
    assert not set(keeping.ports.values()) & {
        int(gateway.environment[f"GATEWAY_{kind}PORT"]) for kind in ("", "HEALTH_")
    }
    assert not set(keeping.ports) & set(gateway.ports)
    assert set(keeping.probes) == {"startupProbe", "livenessProbe", "readinessProbe"}
    # A pod one of whose containers is not ready gets no calls, and `/readyz` says whether the issuer answers.
    assert {(probe["path"], keeping.ports[probe["port"]]) for probe in keeping.probes.values()} == {("/healthz", port)}
    assert "/healthz" in {getattr(route, "path", None) for route in health.pages({}).routes}


@every_cluster
def test_what_keeps_the_keys_is_of_the_same_version_as_the_apis_that_judge_by_them(cluster: Cluster) -> None:
    assert cluster.beside["keys-keep"].image == cluster.workloads["inbox-api-serve"].image


@every_cluster
def test_prometheus_asks_every_container_that_has_pages(cluster: Cluster) -> None:
    asked = {each["port"] for each in cluster.named("PodMonitor", "spacehub-notify")["spec"]["podMetricsEndpoints"]}

    assert asked == {"health"} | {port for each in cluster.beside.values() for port in each.ports}
    assert all(re.fullmatch(r"[a-z-]{1,15}", port) for port in asked)
