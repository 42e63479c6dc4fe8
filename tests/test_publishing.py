"""The programs of docs/publishing.md do what the page says, as they stand there."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from spacehub import topology
from spacehub.errors import Unreadable
from spacehub.events import envelope
from spacehub.testing.broker import Broker, broker_at
from spacehub_dev.provisioning.fresh import Vhost
from spacehub_dev.testing.npm import npm_is_here

from tests.page_programs import PAGE, PROGRAMS, run

NODE = pytest.mark.skipif(not npm_is_here(), reason="there is no node or npm")
STANDARD = replace(topology.BY_NAME["inbox-api.standard"], tiers={})
RETURNED = {"python": "NO_ROUTE", "js": "no queue is bound for this key"}
"""What a program says when the broker returns its event."""


@pytest.fixture(scope="module")
async def broker(module_vhost: Vhost) -> AsyncIterator[Broker]:
    """Where the services' queue for such events is declared."""
    async with broker_at(module_vhost.amqp_url, module_vhost.management_url) as hand:
        await hand.declare(STANDARD)
        yield hand


@pytest.fixture(scope="module")
async def domain_url(module_vhost: Vhost) -> AsyncIterator[str]:
    """The URL for a user who may write to the exchange of events and do nothing else."""
    name = f"domain-{uuid4().hex[:8]}"
    allowed = {"configure": "^$", "write": r"^spacehub\.events$", "read": "^$"}
    async with httpx.AsyncClient(base_url=module_vhost.management_url) as management:
        user = {"password": name, "tags": ""}
        (await management.put(f"/api/users/{name}", json=user)).raise_for_status()
        permissions = f"/api/permissions/{module_vhost.name}/{name}"
        (await management.put(permissions, json=allowed)).raise_for_status()
        parts = urlsplit(module_vhost.amqp_url)
        place = f"{name}:{name}@{parts.hostname}:{parts.port}"
        yield urlunsplit(parts._replace(netloc=place))
        await management.delete(f"/api/users/{name}")


def with_language(language: str, text: str, number: int) -> object:
    return pytest.param(language, text, marks=[NODE] if language == "js" else [], id=f"{number}-{language}")


EACH = [with_language(language, text, number) for number, (language, text) in enumerate(PROGRAMS, 1)]


def test_the_page_has_a_program_for_both_languages_and_both_modes() -> None:
    assert [language for language, _ in PROGRAMS] == ["python", "js", "python"]
    assert [text.count("cloudEvents:") for _, text in PROGRAMS] == [0, 0, 1]


@pytest.mark.parametrize(("language", "text"), EACH)
async def test_a_program_of_the_page_publishes_an_event_for_good(
    language: str, text: str, broker: Broker, domain_url: str, tmp_path: Path
) -> None:
    code, said = await run(language, text, url=domain_url, directory=tmp_path)

    assert (code, said) == (0, "")
    [message] = await broker.take(STANDARD.name)
    properties = message.header.properties
    event = envelope.read(message.body, content_type=properties.content_type, headers=properties.headers or {})
    assert properties.delivery_mode == 2
    assert properties.message_id == event.id
    assert message.routing_key == event.data.routing_key


@pytest.mark.parametrize(("language", "text"), EACH)
async def test_a_program_of_the_page_hears_that_no_queue_is_bound(
    language: str, text: str, broker: Broker, domain_url: str, tmp_path: Path
) -> None:
    mistaken = re.sub(r'"(notification\.requested|user\.updated)"', '"no.such.key"', text)

    code, said = await run(language, mistaken, url=domain_url, directory=tmp_path)

    assert code == 1
    assert RETURNED[language] in said
    assert await broker.take(STANDARD.name) == []


def test_the_sample_of_a_reason_is_one() -> None:
    sample = PAGE.parent / "events" / "samples" / "02-bill-issued.json"
    event = json.loads(sample.read_text(encoding="utf-8"))
    event["data"]["amount"] = "many"

    with pytest.raises(Unreadable) as unreadable:
        envelope.read(json.dumps(event).encode(), content_type=envelope.STRUCTURED, headers={})

    assert f"`{unreadable.value.reason}`" in PAGE.read_text(encoding="utf-8").replace("\n", " ")
