"""Every kind of custom resource that the manifests may use, and what is wrong with one."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from spacehub_dev.cluster.custom_resources.entry import Gateway, HTTPRoute
from spacehub_dev.cluster.custom_resources.keda import ScaledObject, TriggerAuthentication
from spacehub_dev.cluster.custom_resources.monitoring import PodMonitor, PrometheusRule
from spacehub_dev.cluster.custom_resources.postgres import Cluster, Database, ObjectStore, ScheduledBackup
from spacehub_dev.cluster.custom_resources.rabbitmq import RabbitmqCluster
from spacehub_dev.cluster.custom_resources.strict import Strict

KINDS: Mapping[str, type[Strict]] = {
    kind.__name__: kind
    for kind in (
        Cluster,
        Database,
        Gateway,
        HTTPRoute,
        ObjectStore,
        PodMonitor,
        PrometheusRule,
        RabbitmqCluster,
        ScaledObject,
        ScheduledBackup,
        TriggerAuthentication,
    )
}


def is_custom(manifest: Mapping[str, Any]) -> bool:
    """Whether an operator brings the kind: Kubernetes' own groups have no dot in their name, or end in `.k8s.io`."""
    group, _, version = str(manifest.get("apiVersion", "")).rpartition("/")
    kubernetes_own = "." not in group or group in {"networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io"}
    return bool(version) and not kubernetes_own


def faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a custom resource, a line each; nothing when all is well."""
    kind = str(manifest.get("kind"))
    if kind not in KINDS:
        yield f"{kind}: no model in {__name__.rpartition('.')[0]}"
        return
    try:
        KINDS[kind].model_validate(manifest)
    except ValidationError as wrong:
        name = manifest.get("metadata", {}).get("name")
        for fault in wrong.errors(include_url=False, include_context=False):
            yield f"{kind} {name}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
