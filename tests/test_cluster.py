"""The manifests start the system that the launcher starts, and tell every process what it needs and nothing else."""

import json
import re
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sms_sender.settings import Settings as SmsSettings
from spacehub import health
from spacehub.running import DRAIN
from spacehub.settings import SECRETS
from spacehub.topology import BY_NAME, queues
from spacehub_dev.cluster import secrets
from spacehub_dev.provisioning import haproxy

from tests.cluster_manifests import HEALTH, OVERLAYS, Cluster, Workload
from tests.compose_file import ROOT, development, services
from tests.launched import plan_in, settings_of

CLUSTERS = [Cluster(overlay) for overlay in OVERLAYS]
WORKLOADS = [each for cluster in CLUSTERS for each in cluster.workloads.values()]
BESIDE = [each for cluster in CLUSTERS for each in cluster.beside.values()]
CONFIGURED = [each for cluster in CLUSTERS for each in cluster.configured]
DEPLOYMENTS = [each for each in WORKLOADS if each.kind == "Deployment"]
SIMULATORS = {"sms-simulator", "fcm-simulator"}
OPERATORS_OWN = {"rabbitmq-default-user", "postgres-backup", "notify-spacehub-mn"}
"""Secrets that an operator or the company makes."""

MADE_UP = secrets.made_up()

every_cluster = pytest.mark.parametrize("cluster", CLUSTERS, ids=OVERLAYS)


def by_name(workload: Workload) -> str:
    return f"{workload.cluster.overlay} {workload.name} {workload.container_name}"


@every_cluster
def test_every_process_of_the_launcher_has_its_workload_and_runs_its_command(cluster: Cluster, tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    launched = {spec.name.replace(" ", "-"): spec for spec in [*plan.migrations, *plan.topology, *plan.processes]}
    expected = set(launched) - (set() if cluster.overlay == "development" else SIMULATORS)

    found = {**cluster.workloads, **cluster.beside}
    assert set(found) == expected
    assert len(found) == len(cluster.workloads) + len(cluster.beside)
    assert {name for name, each in found.items() if each.kind == "Deployment"} == expected & {
        spec.name.replace(" ", "-") for spec in plan.processes
    }
    for name in expected - {"gateway"} - SIMULATORS:
        command = launched[name].command
        assert found[name].command == [Path(command[0]).name, *command[1:]]


@pytest.mark.parametrize("workload", CONFIGURED, ids=by_name)
def test_settings_of_every_process_are_complete(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file, (secret, key) in workload.files.items():
        (tmp_path / file).write_text(MADE_UP[secret][key])
    monkeypatch.setenv("SPACEHUB_SECRETS", str(tmp_path))
    for name, value in workload.environment.items():
        monkeypatch.setenv(name, value.replace(SECRETS, str(tmp_path)))
    classes = settings_of(workload.service)
    chosen = classes.get("ApiSettings", classes["Settings"]) if "serve" in workload.command else classes["Settings"]

    settings: Any = chosen()

    assert settings.health_host == "0.0.0.0"
    assert settings.health_port == HEALTH
    assert settings.quiet_hours == ("22:00-08:00" if workload.cluster.overlay == "production" else "off")
    for name, value in settings:
        if name.endswith("_file") and value is not None:
            assert value.is_file()


@pytest.mark.parametrize("workload", CONFIGURED, ids=by_name)
def test_no_process_is_told_what_nobody_reads(workload: Workload) -> None:
    prefix = f"{workload.service.replace('-', '_').upper()}_"
    known = {prefix + field.upper() for each in settings_of(workload.service).values() for field in each.model_fields}
    named = {value.removeprefix(f"{SECRETS}/") for value in workload.environment.values() if value.startswith(SECRETS)}

    assert set(workload.environment) - known == set()
    assert set(workload.files) - {name.lower() for name in known} - named == set()
    assert set(workload.environment) & {name.upper() for name in workload.files} == set()


def test_the_gateway_and_the_topology_are_told_what_they_read() -> None:
    needed = set(re.findall(r"\$\{([A-Z_]+):\?\}", (ROOT / "deploy" / "gateway" / "start").read_text(encoding="utf-8")))
    read = set(re.findall(r"\b((?:GATEWAY|RATE|JWT)_[A-Z_]+)", (ROOT / "deploy" / "gateway" / "start").read_text()))

    for cluster in CLUSTERS:
        gateway = cluster.workloads["gateway"].environment
        assert needed <= set(gateway) <= needed | read | {"NAMESPACE"}
        for verb in ("apply", "keep"):
            topology = cluster.workloads[f"topology-{verb}"]
            assert set(topology.files) == {"spacehub_amqp_url", "spacehub_management_url"}
            assert set(topology.environment) == {"SPACEHUB_HEALTH_HOST", "SPACEHUB_HEALTH_PORT"}
        users = cluster.workloads["topology-users"]
        assert {"SPACEHUB_AMQP_URL", "SPACEHUB_MANAGEMENT_URL"} <= set(users.environment)
        assert ("broker-users", None) in users.secrets


@pytest.mark.parametrize("workload", WORKLOADS + BESIDE, ids=by_name)
def test_every_secret_that_is_named_is_one_that_can_be_made(workload: Workload) -> None:

    for secret, key in workload.secrets:
        assert secret in OPERATORS_OWN or key is None or key in MADE_UP[secret]
        assert secret in OPERATORS_OWN or secret in MADE_UP
    assert workload.pod["serviceAccountName"]
    account = workload.cluster.named("ServiceAccount", workload.pod["serviceAccountName"])
    assert account["automountServiceAccountToken"] is workload.pod["automountServiceAccountToken"] is False


def test_secrets_of_a_development_cluster_are_all_named_and_made_anew_each_time() -> None:
    cluster = Cluster("development")
    text = json.dumps(cluster.manifests)
    listed = json.loads(secrets.manifest())["items"]

    assert {item["metadata"]["namespace"] for item in listed} == {secrets.NAMESPACE}
    assert [name for name in secrets.made_up() if f'"{name}"' not in text] == ["token-signer"]
    assert secrets.made_up()["scheduler"] != secrets.made_up()["scheduler"]


@pytest.mark.parametrize("workload", DEPLOYMENTS, ids=by_name)
def test_probes_ask_for_pages_that_exist_where_the_process_listens(workload: Workload) -> None:
    pages = {route.path for route in health.pages({}).routes if isinstance(route, APIRoute)}
    ports = {name: int(port) for name, port in workload.environment.items() if name.endswith("_PORT")}
    listens = next((port for name, port in ports.items() if name.endswith("HEALTH_PORT")), None)
    if workload.service == "gateway":
        pages = set(re.findall(r"/(?:healthz|readyz)", (haproxy.GATEWAY / "haproxy.cfg").read_text(encoding="utf-8")))
    if workload.service in SIMULATORS:
        pages, listens = {"/control/messages"}, int(workload.command[workload.command.index("--port") + 1])

    assert set(workload.probes) == {"startupProbe", "livenessProbe", "readinessProbe"}
    for probe in workload.probes.values():
        assert probe["path"] in pages
        assert workload.ports[probe["port"]] == listens
    assert set(workload.ports.values()) == set(ports.values()) | {listens} or workload.command[1:2] != ["serve"]
    if workload.service not in SIMULATORS:
        assert workload.probes["livenessProbe"]["path"] == "/healthz"
        assert workload.probes["readinessProbe"]["path"] == "/readyz"


@every_cluster
def test_what_keda_counts_is_a_queue_that_its_process_consumes(cluster: Cluster) -> None:
    scaled = list(cluster.of("ScaledObject"))

    assert {each["metadata"]["name"] for each in scaled} == {"sms-sender-consume", "push-sender-consume"}
    for each in scaled:
        target = cluster.workloads[each["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target.manifest["spec"]
        for trigger in each["spec"]["triggers"]:
            queue = trigger["metadata"]["queueName"]
            service, _, what = queue.partition(".")
            assert queue in BY_NAME
            assert service == target.service
            assert what in target.command[2:] or not target.command[2:]
            assert cluster.named("TriggerAuthentication", trigger["authenticationRef"]["name"])


@every_cluster
def test_queue_with_one_active_consumer_has_a_second_that_stands_by_and_no_more(cluster: Cluster) -> None:
    in_order = {queue.name for queue in queues() if queue.arguments.get("x-single-active-consumer")}
    counted = {
        trigger["metadata"]["queueName"] for each in cluster.of("ScaledObject") for trigger in each["spec"]["triggers"]
    }

    assert in_order == {"inbox-api.standard"}
    assert in_order & counted == set()
    assert cluster.workloads["inbox-api-consume"].manifest["spec"]["replicas"] == 2


def test_no_more_senders_are_started_than_the_carriers_rate_keeps_busy() -> None:
    cluster = Cluster("production")
    rate = float(cluster.workloads["sms-sender-consume"].environment["SMS_SENDER_GATEWAY_RATE"])
    fields = SmsSettings.model_fields
    standard = 0.8 * rate  # a fifth is kept for codes
    in_hand = standard * fields["gateway_deadline"].default.total_seconds()

    spec = cluster.named("ScaledObject", "sms-sender-consume")["spec"]

    assert spec["maxReplicaCount"] == max(2, ceil(in_hand / fields["standard_concurrency"].default))


@every_cluster
def test_apis_grow_with_their_load(cluster: Cluster) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in cluster.of("HorizontalPodAutoscaler")}

    assert scaled == {"inbox-api-serve", "devices-api-serve"}
    assert all("replicas" not in cluster.workloads[name].manifest["spec"] for name in scaled)


@pytest.mark.parametrize("workload", DEPLOYMENTS, ids=by_name)
def test_every_process_has_time_to_drain(workload: Workload) -> None:
    hook = workload.container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    serves = workload.command[1:2] == ["serve"] or workload.service == "gateway"

    assert workload.pod["terminationGracePeriodSeconds"] > DRAIN + float(hook[1])
    assert (float(hook[1]) > 0) == serves


@pytest.mark.parametrize("workload", DEPLOYMENTS, ids=by_name)
def test_emptied_node_takes_one_pod_of_a_process_at_a_time(workload: Workload) -> None:
    alone = workload.manifest["spec"].get("replicas") == 1
    budgets = [
        each["spec"]
        for each in workload.cluster.of("PodDisruptionBudget")
        if workload in workload.cluster.pods_of(each["spec"]["selector"])
    ]

    assert len(budgets) == (0 if alone else 1)
    assert all(budget["maxUnavailable"] == 1 for budget in budgets)
    assert all(workload.cluster.pods_of(budget["selector"]) == [workload] for budget in budgets)
    assert workload.cluster.pods_of(workload.manifest["spec"]["selector"]) == [workload]
    assert alone == (workload.name in SIMULATORS | {"topology-keep"})


@every_cluster
def test_every_service_leads_to_pods_that_listen(cluster: Cluster) -> None:
    for service in cluster.of("Service"):
        pods = cluster.pods_of({"matchLabels": service["spec"]["selector"]})
        assert pods
        for port in service["spec"]["ports"]:
            assert all(port["targetPort"] in pod.ports for pod in pods)
    for route in cluster.of("HTTPRoute"):
        assert cluster.named("Gateway", route["spec"]["parentRefs"][0]["name"])
        for backend in (backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"]):
            ports = cluster.named("Service", backend["name"])["spec"]["ports"]
            assert backend["port"] in {port["port"] for port in ports}


@every_cluster
def test_images_are_those_of_compose_each_of_a_version(cluster: Cluster) -> None:
    compose = {service.content["image"].rpartition(":")[0] for service in services(development()).values()}
    named = {each.image.rpartition(":")[0] for each in cluster.workloads.values()}
    broker = cluster.named("RabbitmqCluster", "rabbitmq")["spec"]["image"]

    assert named <= compose
    assert compose - named <= {"rabbitmq", "postgres", "spacehub/simulators"}
    assert cluster.workloads["gateway"].image == haproxy.IMAGE
    assert broker == services(development())["rabbitmq"].content["image"]
    for workload in cluster.workloads.values():
        assert re.fullmatch(r".+:[\w.-]+", workload.image)
        assert not workload.image.endswith(":latest")
        assert all(first["image"] == workload.image for first in workload.pod.get("initContainers", []))


@pytest.mark.parametrize("workload", DEPLOYMENTS, ids=by_name)
def test_process_with_a_database_waits_for_the_schema_that_it_needs(workload: Workload) -> None:
    owns = f"{workload.service}-migrate" in workload.cluster.workloads
    first = workload.pod.get("initContainers", [])

    assert [step["command"] for step in first] == ([[workload.service, "migrate", "--wait"]] if owns else [])
    assert all(step["envFrom"] == workload.container["envFrom"] for step in first)
    assert all(step["volumeMounts"] == workload.container["volumeMounts"] for step in first)


@every_cluster
def test_each_service_that_owns_a_database_has_one_with_a_role_of_its_own(cluster: Cluster) -> None:
    server = cluster.named("Cluster", "postgres")["spec"]
    databases = {each["spec"]["name"]: each["spec"]["owner"] for each in cluster.of("Database")}

    assert databases == {name: name for name in secrets.DATABASES.values()}
    assert {role["name"] for role in server["managed"]["roles"]} == set(databases)
    for role in server["managed"]["roles"]:
        assert set(MADE_UP[role["passwordSecret"]["name"]]) == {"username", "password"}
        assert f"host {role['name']} {role['name']} all scram-sha-256" in server["postgresql"]["pg_hba"]
