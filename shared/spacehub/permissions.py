"""Every user of the broker there is, as data: what each may publish, read and make, and nothing beyond it.

Derived from the topology and from who publishes what. Passive declarations need no permission, so looking a queue up
is open to every user. https://www.rabbitmq.com/docs/access-control
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from spacehub import topology
from spacehub.events.catalogue import DELIVERIES_EXCHANGE, EVENTS_EXCHANGE, REQUESTS
from spacehub.events.facts import Fact
from spacehub.events.publishers import ANY_DOMAIN, DOMAINS, SERVICES
from spacehub.topology import WORK_QUEUES, WorkQueue

REQUESTING = "inbox-api"
"""The one service that asks the senders for something."""

TOPOLOGY, OPERATOR, WATCHER = "topology", "operator", "watcher"


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """What one user may do.

    `publishes` holds the routing keys by topic exchange, `sends` the exchanges that know no topics, `reads` the queues.
    `keeps` is whether it makes the topology; `tags` are its rights at the management API.
    """

    name: str
    publishes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    sends: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    keeps: bool = False
    tags: tuple[str, ...] = ()

    @property
    def permissions(self) -> Mapping[str, str]:
        """Its `configure`, `write` and `read`, as regular expressions over names."""
        if self.keeps:
            # To declare a queue with a dead-letter target it must be allowed to write there (`amq.default`) and to
            # read the queue; to bind, to write to the queue and to read the exchange.
            ours = (*topology.exchanges(), *(queue.name for queue in topology.queues()))
            queues = (queue.name for queue in topology.queues())
            return {"configure": any_of(ours), "write": any_of([*queues, "amq.default"]), "read": any_of(ours)}
        return {
            "configure": any_of(()),
            "write": any_of((*self.publishes, *self.sends)),
            "read": any_of(self.reads),
        }

    @property
    def topic_permissions(self) -> Mapping[str, Mapping[str, str]]:
        """Its `write` and `read` over routing keys, by topic exchange. An exchange without one would be open."""
        return {
            exchange: {"write": any_of(keys), "read": any_of(())} for exchange, keys in self.publishes.items() if keys
        }


def any_of(names: Iterable[str]) -> str:
    r"""A regular expression that matches these names, whole, and nothing else (`$` would let a line feed follow)."""
    alternatives = "|".join(re.escape(name).replace(r"\-", "-") for name in names)
    return rf"\A(?:{alternatives})\z" if alternatives else "^$"


def users() -> Iterator[BrokerUser]:
    """Every user: the services, the other domains, and those who look after the broker."""
    for name, facts in SERVICES.items():
        yield _service(name, facts)
    for name, facts in DOMAINS.items():
        yield BrokerUser(name, {EVENTS_EXCHANGE: _keys((*facts, *ANY_DOMAIN))})
    yield BrokerUser(TOPOLOGY, keeps=True, tags=("policymaker",))
    dead = (work.dead for work in WORK_QUEUES)
    yield BrokerUser(OPERATOR, sends=(*_moves(WORK_QUEUES), topology.AUDIT), reads=(*dead, topology.AUDIT))
    yield BrokerUser(WATCHER, tags=("monitoring",))


def names() -> list[str]:
    """The names of all users."""
    return [user.name for user in users()]


def _service(name: str, facts: tuple[type[Fact], ...]) -> BrokerUser:
    works = [work for work in WORK_QUEUES if work.service == name]
    publishes = {EVENTS_EXCHANGE: _keys(facts)} if facts else {}
    if name == REQUESTING:
        publishes[DELIVERIES_EXCHANGE] = _keys(REQUESTS)
    return BrokerUser(
        name,
        publishes,
        sends=_moves(works),
        reads=tuple(queue for work in works for queue in (work.name, work.parking)),
    )


def _keys(facts: Iterable[type[Fact]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for fact in facts for key in fact.routing_keys()))


def _moves(works: Iterable[WorkQueue]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(work.moves for work in works))
