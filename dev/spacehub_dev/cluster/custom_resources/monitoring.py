"""Prometheus' operator: https://prometheus-operator.dev/docs/api-reference/api."""

from typing import Annotated, Literal

from pydantic import Field

from spacehub_dev.cluster.custom_resources.strict import Duration, Labels, Metadata, Name, Selector, Strict


class Endpoint(Strict):
    port: Name
    path: Annotated[str, Field(pattern="^/")]
    interval: Duration
    params: dict[str, list[str]] = Field({})


class PodMonitorSpec(Strict):
    selector: Selector
    job_label: str | None = None
    pod_target_labels: list[str] = Field([])
    pod_metrics_endpoints: Annotated[list[Endpoint], Field(min_length=1)]


class PodMonitor(Strict):
    """Which pods are asked for their metrics."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec


class Rule(Strict):
    """An alert, or a value kept under a name of its own."""

    alert: str | None = None
    record: str | None = None
    expr: str
    for_: Annotated[Duration | None, Field(alias="for")] = None
    keep_firing_for: Annotated[Duration | None, Field(alias="keep_firing_for")] = None
    labels: Labels = Field({})
    annotations: dict[str, str] = Field({})


class Group(Strict):
    name: str
    interval: Duration | None = None
    rules: Annotated[list[Rule], Field(min_length=1)]


class PrometheusRuleSpec(Strict):
    groups: Annotated[list[Group], Field(min_length=1)]


class PrometheusRule(Strict):
    """When somebody is told."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: PrometheusRuleSpec
