"""In a cluster, nothing may talk to anything but along the arrows of the flow."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from spacehub_dev.cluster import secrets

from tests.cluster_manifests import HEALTH, OVERLAYS, Cluster, Workload, selects

CLUSTERS = [Cluster(overlay) for overlay in OVERLAYS]
every_cluster = pytest.mark.parametrize("cluster", CLUSTERS, ids=OVERLAYS)

SERVERS: Mapping[str, Mapping[str, str]] = {
    "rabbitmq": {"app.kubernetes.io/component": "rabbitmq"},
    "postgres": {"cnpg.io/cluster": "postgres"},
}
"""What the operators start, by the labels that they give it."""

BROKER, MANAGEMENT, DATABASE = ("rabbitmq", 5672), ("rabbitmq", 15672), ("postgres", 5432)
FLOW: Mapping[str, set[tuple[str, int]]] = {
    "inbox-api-serve": {DATABASE},
    "inbox-api-consume": {BROKER, DATABASE},
    "inbox-api-consume-critical": {BROKER, DATABASE},
    "inbox-api-forward": {BROKER, DATABASE},
    "inbox-api-migrate": {DATABASE},
    "sms-sender-consume": {BROKER, DATABASE},
    "sms-sender-consume-critical": {BROKER, DATABASE},
    "sms-sender-forward": {BROKER, DATABASE},
    "sms-sender-migrate": {DATABASE},
    "push-sender-consume": {BROKER, ("devices-api-serve", 8082)},
    "devices-api-serve": {DATABASE},
    "devices-api-consume": {BROKER, DATABASE},
    "devices-api-migrate": {DATABASE},
    "scheduler-consume": {BROKER, DATABASE},
    "scheduler-fire": {DATABASE},
    "scheduler-forward": {BROKER, DATABASE},
    "scheduler-migrate": {DATABASE},
    "topology-users": {BROKER, MANAGEMENT},
    "topology-apply": {BROKER, MANAGEMENT},
    "topology-keep": {BROKER, MANAGEMENT},
    "gateway": {("inbox-api-serve", 8080), ("devices-api-serve", 8080)},
}
"""docs/architecture.md, arrow by arrow."""

IN_DEVELOPMENT: Mapping[str, set[tuple[str, int]]] = {
    "sms-sender-consume": {("sms-simulator", 8080)},
    "sms-sender-consume-critical": {("sms-simulator", 8080)},
    "push-sender-consume": {("fcm-simulator", 8080)},
}
OUTSIDE = {
    "inbox-api-serve",  # the issuer's keys
    "devices-api-serve",
    "gateway",
    "sms-sender-consume",  # the carrier
    "sms-sender-consume-critical",
    "push-sender-consume",  # FCM
}
PORTS = (5672, 15672, 5432, 8080, HEALTH, 8082)


def policies(cluster: Cluster, labels: Mapping[str, str], direction: str) -> list[Mapping[str, Any]]:
    """The rules in force for pods with these labels; at least the policy that allows nothing is for every pod."""
    found = [each["spec"] for each in cluster.of("NetworkPolicy") if selects(each["spec"]["podSelector"], labels)]
    applied = [each for each in found if direction.capitalize() in each["policyTypes"]]
    assert applied
    return [rule for each in applied for rule in each.get(direction, [])]


def opens(peers: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    """Whether one of the peers is a pod of this namespace with these labels."""
    return any("podSelector" in peer and len(peer) == 1 and selects(peer["podSelector"], labels) for peer in peers)


def allowed(cluster: Cluster, here: Mapping[str, str], there: Mapping[str, str], port: int) -> bool:
    """Whether both ends allow it."""
    leaves = any(
        opens(rule["to"], there) and port in {each["port"] for each in rule["ports"]}
        for rule in policies(cluster, here, "egress")
        if "to" in rule
    )
    enters = any(
        opens(rule["from"], here) and port in {each["port"] for each in rule["ports"]}
        for rule in policies(cluster, there, "ingress")
    )
    # The servers' own policies name services, not their processes: there the caller's end decides.
    assert leaves == enters or there in SERVERS.values(), f"only one end allows {here} to {there}:{port}"
    return leaves and enters


def ends(cluster: Cluster) -> dict[str, Mapping[str, str]]:
    """All that listens, by name, with its labels."""
    return {**SERVERS, **{name: workload.labels for name, workload in cluster.workloads.items()}}


@every_cluster
def test_the_arrows_of_the_flow_are_open_and_no_others(cluster: Cluster) -> None:
    open_ = {
        name: {
            (other, port)
            for other, labels in ends(cluster).items()
            for port in PORTS
            if allowed(cluster, workload.labels, labels, port)
        }
        for name, workload in cluster.workloads.items()
    }
    more = IN_DEVELOPMENT if cluster.overlay == "development" else {}

    expected = {name: FLOW.get(name, set()) | more.get(name, set()) for name in cluster.workloads}
    assert open_ == expected


@every_cluster
def test_only_who_must_reaches_the_world_and_only_over_https(cluster: Cluster) -> None:
    for name, workload in cluster.workloads.items():
        away = [
            (peer["ipBlock"], rule["ports"])
            for rule in policies(cluster, workload.labels, "egress")
            for peer in rule["to"]
            if "ipBlock" in peer
        ]
        assert bool(away) == (name in OUTSIDE), name
        for block, ports in away:
            assert ports == [{"port": 443}]
            assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["except"])


@every_cluster
def test_everybody_can_look_names_up_and_be_measured(cluster: Cluster) -> None:
    for workload in cluster.workloads.values():
        leaving = [port["port"] for rule in policies(cluster, workload.labels, "egress") for port in rule["ports"]]
        entering = [port["port"] for rule in policies(cluster, workload.labels, "ingress") for port in rule["ports"]]
        assert leaving.count(53) == 2
        assert 4318 in leaving
        assert HEALTH in entering
    for container in cluster.beside.values():
        entering = [port["port"] for rule in policies(cluster, container.labels, "ingress") for port in rule["ports"]]
        assert set(container.ports.values()) <= set(entering)


@every_cluster
def test_every_policy_is_for_pods_that_there_are(cluster: Cluster) -> None:
    known = list(ends(cluster).values())

    for policy in cluster.of("NetworkPolicy"):
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        peers = [peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))]
        selectors = [peer["podSelector"] for peer in peers if "podSelector" in peer and "namespaceSelector" not in peer]
        for selector in [policy["spec"]["podSelector"], *selectors]:
            assert any(selects(selector, labels) for labels in known), (policy["metadata"]["name"], selector)


@every_cluster
def test_every_arrow_leads_to_a_port_of_a_service(cluster: Cluster) -> None:
    served = {
        (pod.name, pod.ports[port["targetPort"]])
        for service in cluster.of("Service")
        for pod in cluster.pods_of({"matchLabels": service["spec"]["selector"]})
        for port in service["spec"]["ports"]
    }
    arrows = {arrow for arrows in (*FLOW.values(), *IN_DEVELOPMENT.values()) for arrow in arrows}

    assert {arrow for arrow in arrows if arrow[0] in cluster.workloads} <= served


@every_cluster
def test_every_address_that_a_process_is_told_is_one_that_it_may_reach(cluster: Cluster) -> None:
    made_up, followed = secrets.made_up(), 0
    for workload in [*cluster.workloads.values(), *cluster.beside.values()]:
        told = {**workload.environment}
        told |= {file: made_up[secret][key] for file, (secret, key) in workload.files.items()}
        for name, value in told.items():
            if not re.search("(_url|_address)$", name.lower()) or not value:
                continue
            address = urlsplit(value if "://" in value else f"tcp://{value}")
            host, _, domain = (address.hostname or "").partition(".")
            if not domain or domain.endswith("svc.cluster.local"):
                followed += reaches(cluster, workload, host, address.port or 443, name)

    assert followed > 30


def reaches(cluster: Cluster, workload: Workload, host: str, port: int, name: str) -> bool:
    """Whether `workload` may call `host`; if not, it must be one whose settings demand an address it has no use for."""
    if host in ("rabbitmq", "postgres-rw"):
        ends_at = [SERVERS[host.removesuffix("-rw")]]
    else:
        service = cluster.named("Service", host)
        assert port in {each["port"] for each in service["spec"]["ports"]}, (workload.name, name)
        ends_at = [pod.labels for pod in cluster.pods_of({"matchLabels": service["spec"]["selector"]})]
    may = all(allowed(cluster, workload.labels, labels, port) for labels in ends_at)
    useless = host == "rabbitmq" and not {"serve", "migrate", "fire"}.isdisjoint(workload.command)
    simulated = name in ("SMS_SENDER_GATEWAY_URL", "PUSH_SENDER_FCM_BASE_URL") and "consume" not in workload.command
    assert may != (useless or simulated), f"{workload.name}: {name}"
    return may


@every_cluster
def test_servers_are_reached_from_elsewhere_only_by_who_is_named(cluster: Cluster) -> None:
    entering = {
        (name, port["port"], str(peer["namespaceSelector"]["matchLabels"]))
        for name, labels in SERVERS.items()
        for rule in policies(cluster, labels, "ingress")
        for peer in rule["from"]
        if "namespaceSelector" in peer
        for port in rule["ports"]
    }
    namespace = "kubernetes.io/metadata.name"

    assert entering == {
        ("rabbitmq", 5672, str({"spacehub.mn/publishes": "true"})),
        ("rabbitmq", 15672, str({namespace: "keda"})),
        ("rabbitmq", 15692, str({namespace: "monitoring"})),
        ("postgres", 8000, str({namespace: "cnpg-system"})),
        ("postgres", 9187, str({namespace: "monitoring"})),
    }
