"""Our account at the carrier, and the rule that keeps its password off open networks."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from spacehub.secret import Secret


@dataclass(frozen=True)
class Account:
    """Our account at the carrier. `url` takes the form post; `sender` is what the phone shows as `from`.

    The password is asked for at each call.

    Raises ValueError unless `url` is https, or http to a host that cannot be on the public Internet.
    """

    url: str
    username: str
    password: Secret = field(repr=False)
    sender: str

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.username is not None or address.password is not None:
            raise ValueError("the gateway's address must not hold credentials")
        if not address.hostname or not (
            address.scheme == "https" or (address.scheme == "http" and _is_local(address.hostname))
        ):
            raise ValueError("the gateway's address must be https, unless its host is local")


def _is_local(host: str) -> bool:
    """Whether nobody on the public Internet can answer to `host`: loopback, a name without a dot (a neighbour in the
    same Docker network or Kubernetes namespace), or a Kubernetes service name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".svc", ".svc.cluster.local"))
