"""RabbitMQ's Cluster Operator: https://www.rabbitmq.com/kubernetes/operator/using-operator."""

from typing import Annotated, Literal

from pydantic import Field

from spacehub_dev.cluster.custom_resources.strict import Metadata, Quantity, Resources, Selector, Strict


class Persistence(Strict):
    storage: Quantity


class Configuration(Strict):
    additional_plugins: list[str] = Field([])
    additional_config: str = ""


class Apart(Strict):
    label_selector: Selector
    topology_key: str


class PodAntiAffinity(Strict):
    required_during_scheduling_ignored_during_execution: Annotated[list[Apart], Field(min_length=1)]


class Affinity(Strict):
    pod_anti_affinity: PodAntiAffinity


class Spread(Apart):
    max_skew: Annotated[int, Field(gt=0)]
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"]


class PodSpec(Strict):
    containers: Annotated[list[str], Field(max_length=0)]  # the operator's own; its API demands the field
    topology_spread_constraints: list[Spread]


class PodTemplate(Strict):
    spec: PodSpec


class StatefulSetSpec(Strict):
    template: PodTemplate


class StatefulSet(Strict):
    spec: StatefulSetSpec


class Override(Strict):
    stateful_set: StatefulSet


class RabbitmqClusterSpec(Strict):
    image: str
    replicas: Literal[1, 3, 5]  # an even number adds no safety
    termination_grace_period_seconds: Annotated[int, Field(gt=0)]
    persistence: Persistence
    resources: Resources
    rabbitmq: Configuration
    affinity: Affinity
    override: Override


class RabbitmqCluster(Strict):
    """A broker of several nodes."""

    api_version: Literal["rabbitmq.com/v1beta1"]
    kind: Literal["RabbitmqCluster"]
    metadata: Metadata
    spec: RabbitmqClusterSpec
