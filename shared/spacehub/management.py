"""What is done to the broker over RabbitMQ's management API: users with their permissions, and one policy."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

import httpx

from spacehub.errors import Away
from spacehub.events.catalogue import EVENTS_EXCHANGE
from spacehub.permissions import BrokerUser
from spacehub.topology import UNROUTED_EXCHANGE

_TIMEOUT = 10.0


def vhost_of(amqp_url: str) -> str:
    """The virtual host that a broker's URL names."""
    return unquote(urlsplit(amqp_url).path.removeprefix("/")) or "/"


async def catch_unrouted(management_url: str, *, vhost: str) -> None:
    """Name the alternate exchange by a policy: as an argument it would refuse publishers that declare it plainly.

    Raises Away, also when the user in the URL may not do this.
    """
    policy = {
        "pattern": f"^{EVENTS_EXCHANGE.replace('.', '[.]')}$",
        "apply-to": "exchanges",
        "definition": {"alternate-exchange": UNROUTED_EXCHANGE},
    }
    await _put(management_url, {f"policies/{_quoted(vhost)}/unrouted": policy})


async def make_users(
    management_url: str, users: Iterable[BrokerUser], passwords: Mapping[str, str], *, vhost: str, prefix: str = ""
) -> None:
    """Give each user its password and its permissions in `vhost`; who exists is changed, whoever is connected stays so.

    `prefix` goes before each name, on a broker that is not ours alone. Raises Away, as above.
    """
    place = _quoted(vhost)
    for user in users:
        name = _quoted(prefix + user.name)
        # What narrows comes first: with permissions and without topic permissions, every topic would be open.
        await _put(
            management_url,
            {f"users/{name}": {"password": passwords[user.name], "tags": ",".join(user.tags)}},
            *({f"topic-permissions/{place}/{name}": topics} for topics in _topics(user)),
            {f"permissions/{place}/{name}": user.permissions},
        )


def _topics(user: BrokerUser) -> Iterable[Mapping[str, str]]:
    return [{"exchange": exchange, **allowed} for exchange, allowed in user.topic_permissions.items()]


async def _put(management_url: str, *steps: Mapping[str, object]) -> None:
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            for path, content in (item for step in steps for item in step.items()):
                answer = await client.put(f"{management_url.rstrip('/')}/api/{path}", json=content)
                if answer.is_error:
                    raise Away(f"rabbitmq management: {path.partition('/')[0]}: status {answer.status_code}")
    except httpx.HTTPError as fault:  # without the URL, which holds a password
        raise Away(f"rabbitmq management: {type(fault).__name__}") from fault


def _quoted(name: str) -> str:
    return quote(name, safe="")
