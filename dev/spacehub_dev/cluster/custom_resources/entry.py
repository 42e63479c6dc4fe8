"""Gateway API, its standard channel: https://gateway-api.sigs.k8s.io/reference/spec."""

from typing import Annotated, Literal

from pydantic import Field

from spacehub_dev.cluster.custom_resources.strict import Duration, Metadata, Name, Named, Port, Strict


class Namespaces(Strict):
    from_: Annotated[Literal["Same"], Field(alias="from")]


class AllowedRoutes(Strict):
    namespaces: Namespaces


class Tls(Strict):
    mode: Literal["Terminate"]
    certificate_refs: Annotated[list[Named], Field(min_length=1)]


class Listener(Strict):
    name: Name
    protocol: Literal["HTTP", "HTTPS"]
    port: Port
    hostname: Name | None = None
    tls: Tls | None = None
    allowed_routes: AllowedRoutes


class GatewaySpec(Strict):
    gateway_class_name: Name
    listeners: Annotated[list[Listener], Field(min_length=1)]


class Gateway(Strict):
    """Where the cluster listens for the public."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["Gateway"]
    metadata: Metadata
    spec: GatewaySpec


class PathMatch(Strict):
    type: Literal["PathPrefix", "Exact"]
    value: Annotated[str, Field(pattern="^/")]


class Match(Strict):
    path: PathMatch


class Backend(Strict):
    name: Name
    port: Port


class Timeouts(Strict):
    request: Duration


class Rule(Strict):
    matches: Annotated[list[Match], Field(min_length=1)]
    backend_refs: Annotated[list[Backend], Field(min_length=1)]
    timeouts: Timeouts


class HTTPRouteSpec(Strict):
    parent_refs: Annotated[list[Named], Field(min_length=1)]
    rules: Annotated[list[Rule], Field(min_length=1)]


class HTTPRoute(Strict):
    """Which paths lead where."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: HTTPRouteSpec
