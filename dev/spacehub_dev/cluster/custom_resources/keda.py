"""KEDA: https://keda.sh/docs/latest/reference/scaledobject-spec and https://keda.sh/docs/latest/scalers/rabbitmq-queue."""

from typing import Annotated, Literal

from pydantic import Field

from spacehub_dev.cluster.custom_resources.strict import Metadata, Name, Named, Strict


class QueueMetadata(Strict):
    """Of a trigger on a queue; KEDA takes texts only."""

    protocol: Literal["http", "amqp"]
    queue_name: str
    mode: Literal["QueueLength"]
    value: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]


class Trigger(Strict):
    """A queue to look at."""

    type: Literal["rabbitmq"]
    metadata: QueueMetadata
    authentication_ref: Named


class Fallback(Strict):
    """How many replicas there are while the broker cannot be asked."""

    failure_threshold: Annotated[int, Field(gt=0)]
    replicas: Annotated[int, Field(gt=0)]


class ScaledObjectSpec(Strict):
    scale_target_ref: Named
    polling_interval: Annotated[int, Field(gt=0)]
    cooldown_period: Annotated[int, Field(gt=0)]
    min_replica_count: Annotated[int, Field(gt=0)]
    max_replica_count: Annotated[int, Field(gt=0)]
    fallback: Fallback
    triggers: Annotated[list[Trigger], Field(min_length=1)]


class ScaledObject(Strict):
    """How many replicas a Deployment has, by the length of queues."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec


class Parameter(Strict):
    parameter: Literal["host"]
    name: Name
    key: str


class TriggerAuthenticationSpec(Strict):
    secret_target_ref: Annotated[list[Parameter], Field(min_length=1)]


class TriggerAuthentication(Strict):
    """Which Secret says how to ask."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["TriggerAuthentication"]
    metadata: Metadata
    spec: TriggerAuthenticationSpec
