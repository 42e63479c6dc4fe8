"""The checks of the manifests see what is wrong: misspelt fields, wrong values, unsafe containers, bare exceptions."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spacehub_dev.cluster.checking import faults_of
from spacehub_dev.cluster.custom_resources.kinds import KINDS, faults, is_custom
from spacehub_dev.cluster.rendering import CannotRender, rendered

from tests.cluster_manifests import OVERLAYS, Cluster

PRODUCTION = Cluster("production")
CUSTOM = [found for overlay in OVERLAYS for found in Cluster(overlay).manifests if is_custom(found)]


def spoiled(kind: str, name: str, spoil: Callable[[Any], None]) -> Any:
    """A copy of one manifest with something wrong in it."""
    broken = copy.deepcopy(PRODUCTION.named(kind, name))
    spoil(broken)
    return broken


def test_custom_resources_are_well_and_every_model_is_used() -> None:
    assert [fault for found in CUSTOM for fault in faults(found)] == []
    assert {found["kind"] for found in CUSTOM} <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "name", "spoil", "told"),
    [
        ("ScaledObject", "sms-sender-consume", lambda it: it["spec"].update(minReplicas=2), "spec.minReplicas"),
        ("ScaledObject", "sms-sender-consume", lambda it: it["spec"].update(maxReplicaCount="8"), "maxReplicaCount"),
        ("ScaledObject", "sms-sender-consume", lambda it: it["spec"].pop("fallback"), "spec.fallback"),
        ("RabbitmqCluster", "rabbitmq", lambda it: it["spec"].update(replicas=2), "spec.replicas"),
        ("RabbitmqCluster", "rabbitmq", lambda it: it["spec"]["persistence"].update(storage="20GB"), "storage"),
        ("Cluster", "postgres", lambda it: it["spec"]["postgresql"].update(pgHba=[]), "postgresql.pgHba"),
        ("Cluster", "postgres", lambda it: it["spec"].update(instances=0), "spec.instances"),
        ("Database", "inbox", lambda it: it["spec"].update(databaseReclaimPolicy="drop"), "databaseReclaimPolicy"),
        ("ScheduledBackup", "postgres", lambda it: it["spec"].update(schedule="0 18 * * *"), "spec.schedule"),
        ("HTTPRoute", "api", lambda it: it["spec"]["rules"][0].update(backendRef=[]), "rules.0.backendRef"),
        ("Gateway", "public", lambda it: it.update(apiVersion="gateway.networking.k8s.io/v1alpha2"), "apiVersion"),
        ("PodMonitor", "rabbitmq", lambda it: it["spec"]["podMetricsEndpoints"][0].update(prot="x"), "0.prot"),
    ],
)
def test_fault_in_a_custom_resource_is_told_by_its_place(
    kind: str, name: str, spoil: Callable[[Any], None], told: str
) -> None:
    found = list(faults(spoiled(kind, name, spoil)))

    assert any(told in fault and fault.startswith(f"{kind} {name}: ") for fault in found)


def test_custom_resource_that_nobody_described_is_a_fault() -> None:
    unknown = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "notify"}}

    assert is_custom(unknown)
    assert len(list(faults(unknown))) == 1


def test_faults_in_kubernetes_own_resources_and_unsafe_containers_are_found_and_exceptions_need_a_reason() -> None:
    def misspell(it: Any) -> None:
        it["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30

    def open_up(it: Any) -> None:
        it["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False
        it["metadata"]["annotations"]["checkov.io/skip1"] = "CKV_K8S_15="

    found = list(
        faults_of(
            [
                spoiled("Deployment", "scheduler-fire", misspell),
                spoiled("Deployment", "scheduler-consume", open_up),
                {"apiVersion": "v2", "kind": "Service", "metadata": {"name": "nothing"}},
            ]
        )
    )

    assert any("terminationGracePeriodSecond" in fault for fault in found)
    assert any("v2" in fault for fault in found)
    assert any("CKV_K8S_22" in fault and "scheduler-consume" in fault for fault in found)
    assert any("CKV_K8S_15" in fault and "reason" in fault for fault in found)


def test_folder_that_kustomize_refuses_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [gone.yaml]\n", encoding="utf-8")

    with pytest.raises(CannotRender, match=r"gone\.yaml"):
        rendered(tmp_path)


def test_what_kustomize_warns_of_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("commonLabels: {a: b}\n", encoding="utf-8")

    with pytest.raises(CannotRender, match="commonLabels"):
        rendered(tmp_path)
