"""What every model of a custom resource has in common: a field nobody described is a fault, so a typo is one.

Kubernetes' published schemas know nothing of what operators add, and without a cluster nobody else would look. Only the
fields that the manifests use are described, from each operator's API reference; a new one is added here first.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    """Camel-case in YAML, nothing undescribed, no text for a number or the other way round."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(m|[KMGT]i?)?$")]
Port = Annotated[int, Field(gt=0, le=65535)]
Duration = Annotated[str, Field(pattern=r"^([0-9]+(h|m|s|ms))+$")]
Labels = dict[str, str]


class Metadata(Strict):
    """What the manifests say of each resource."""

    name: Name
    namespace: Name
    labels: Labels = {}
    annotations: dict[str, str] = {}


class Named(Strict):
    """A reference to something in the same namespace."""

    name: Name


class KeyOfSecret(Strict):
    """One key of a Secret."""

    name: Name
    key: str


class Selector(Strict):
    """Pods by their labels."""

    match_labels: Annotated[Labels, Field(min_length=1)]


class Resources(Strict):
    """What a container asks for and may have at most."""

    requests: dict[Literal["cpu", "memory"], Quantity]
    limits: dict[Literal["cpu", "memory"], Quantity]
