"""One event is one connected trace, through every process, and it tells nothing about anybody."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from spacehub.auth.signing import Signer
from spacehub.testing.collecting import Collected, Collector, collecting
from spacehub.testing.waiting import eventually
from spacehub_dev.launcher.system import running_system

from tests.journeys.outsider import Outsider, person
from tests.journeys.test_use_cases import bill

DEVICE = "planted-device-token"
CODE = "7750193"

WAY_OF_AN_SMS = [
    ("inbox-api consume", "process inbox-api.standard"),
    ("inbox-api forward", "send spacehub.deliveries"),
    ("sms-sender consume", "process sms-sender.standard"),
    ("sms-sender consume", "attempt sms"),
    ("sms-sender consume", "POST"),
    ("sms-sender forward", "send spacehub.events"),
    ("inbox-api consume", "process inbox-api.outcomes"),
]
WAY_OF_A_CODE = [
    ("inbox-api consume", "process inbox-api.critical"),
    ("sms-sender consume", "process sms-sender.critical"),
    ("sms-sender consume", "POST"),
    ("inbox-api consume", "process inbox-api.outcomes"),
]
WAY_OF_A_PUSH = [
    ("inbox-api consume", "process inbox-api.standard"),
    ("push-sender consume", "process push-sender.standard"),
    ("push-sender consume", "POST"),
    ("devices-api serve", "POST /internal/devices/resolve"),
    ("inbox-api consume", "process inbox-api.outcomes"),
]
"""What a trace must hold at least: processes and spans."""


@dataclass(frozen=True)
class Watched:
    """A system that exports its spans, whoever collects them, and what the processes wrote."""

    outsider: Outsider
    collector: Collector
    logs: Path

    async def whole(self, trace: str, way: list[tuple[str, str]], *, outcomes: int = 0) -> list[Collected]:
        """The spans of `trace` once it holds all of `way`, so many outcomes, and every parent."""

        def found() -> list[Collected]:
            spans = self.collector.of(trace)
            names = [(span.process, span.name) for span in spans]
            unknown = {span.parent for span in spans} - {span.id for span in spans}
            told = sum(name == "process inbox-api.outcomes" for _, name in names)
            return spans if set(way) <= set(names) and told >= outcomes and len(unknown) == 1 else []

        return await eventually(found, because=f"{way} in {trace}")

    async def register(self, user_id: str, token: str) -> None:
        """A device of that user."""
        device = {"token": token, "platform": "android"}
        answer = await self.outsider.http.post(self._api("devices"), json=device, headers=self._bearer(user_id))
        assert answer.status_code in (200, 201)

    async def forget(self, user_id: str, token: str) -> None:
        """The user's app takes a token back."""
        path = self._api(f"devices/{quote(token, safe='')}")
        answer = await self.outsider.http.delete(path, headers=self._bearer(user_id))
        assert answer.status_code == 204

    def _api(self, path: str) -> str:
        return f"{self.outsider.endpoints['api_url']}/v2/{path}"

    def _bearer(self, user_id: str) -> dict[str, str]:
        token = Signer.read(self.logs.parent / "keys" / "signer.json").token(UUID(user_id))
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
async def watched(server_directory: Path) -> AsyncIterator[Watched]:
    async with (
        collecting() as collector,
        running_system(
            server_directory / "traces",
            report=print,
            label="traces",
            keep_data=False,
            environment={
                **os.environ,
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            },
        ) as system,
        Outsider.of(system.endpoints.content()) as outsider,
    ):
        yield Watched(outsider, collector, system.directory / "logs")


def traceparent() -> tuple[str, str, str]:
    """A publisher's: as text, its trace and its span."""
    trace, span = uuid4().hex, uuid4().hex[:16]
    return f"00-{trace}-{span}-01", trace, span


def loose_ends(spans: list[Collected], *, root: str) -> list[str]:
    """The spans whose parent is neither in the trace nor the publisher's."""
    known = {span.id for span in spans} | {root}
    return [f"{span.process}: {span.name}" for span in spans if span.parent not in known]


async def test_a_bill_is_one_connected_trace_from_its_publisher_to_its_end(watched: Watched, phone: str) -> None:
    told, trace, root = traceparent()

    event = await watched.outsider.tell("bill.issued", bill(month="2026-11", recipient=person(phone)), traceparent=told)

    spans = await watched.whole(trace, WAY_OF_AN_SMS, outcomes=2)  # the push's takes the same way back
    by_id = {span.id: span for span in spans}
    [call] = [span for span in spans if (span.process, span.name) == ("sms-sender consume", "POST")]
    attempt = by_id[call.parent]
    handled = by_id[attempt.parent]
    notified = by_id[handled.parent]
    assert call.kind == "client"
    assert (attempt.name, handled.name, notified.name, notified.parent) == (
        "attempt sms",
        "process sms-sender.standard",
        "process inbox-api.standard",
        root,
    )
    assert handled.id in {span.parent for span in spans if span.name == "process inbox-api.outcomes"}
    assert notified.attributes["cloudevents.event_id"] == event
    assert {span.kind for span in spans if span.name.startswith("send ")} == {"producer"}
    assert loose_ends(spans, root=root) == []
    assert [span.name for span in spans if span.failed] == []


async def test_an_event_in_binary_mode_carries_its_trace_in_a_header(watched: Watched, phone: str) -> None:
    told, trace, root = traceparent()
    event = watched.outsider.event("otp.requested", {"phone": phone, "code": "482913"}, traceparent=told)
    headers = {f"cloudEvents_{name}": value for name, value in event.items() if name not in ("data", "datacontenttype")}

    await watched.outsider.put(
        json.dumps(event["data"]).encode(), key="otp.requested", content_type="application/json", headers=headers
    )

    spans = await watched.whole(trace, WAY_OF_A_CODE)
    assert loose_ends(spans, root=root) == []


async def test_an_event_without_a_trace_begins_one_in_inbox_api(watched: Watched, phone: str) -> None:
    event = await watched.outsider.tell("otp.requested", {"phone": phone, "code": "482913"})

    [first] = await eventually(
        lambda: [span for span in watched.collector.spans if span.attributes.get("cloudevents.event_id") == event]
    )
    spans = await watched.whole(first.trace, WAY_OF_A_CODE)
    assert [span.name for span in spans if not span.parent] == ["process inbox-api.critical"]
    assert loose_ends([span for span in spans if span.parent], root=first.id) == []


async def test_what_its_publisher_does_not_sample_is_carried_on_but_not_exported(watched: Watched, phone: str) -> None:
    told, trace, _ = traceparent()
    later, later_trace, _ = traceparent()

    event = await watched.outsider.tell(
        "otp.requested", {"phone": phone, "code": "482913"}, traceparent=told.removesuffix("01") + "00"
    )
    await eventually(lambda: watched.outsider.ended(event))
    await watched.outsider.tell("otp.requested", {"phone": phone, "code": "482914"}, traceparent=later)

    await watched.whole(later_trace, WAY_OF_A_CODE)
    assert watched.collector.of(trace) == []
    [row] = await watched.outsider.rows("inbox", "SELECT traceparent FROM events WHERE event_id = $1", event)
    assert (row["traceparent"][3:35], row["traceparent"][-3:]) == (trace, "-00")


async def test_a_push_is_one_connected_trace_with_its_calls_to_devices_api_and_fcm(watched: Watched) -> None:
    someone, (told, trace, root) = person(), traceparent()
    await watched.register(someone["user_id"], DEVICE)

    await watched.outsider.tell("bill.issued", bill(month="2026-11", recipient=someone), traceparent=told)

    spans = await watched.whole(trace, WAY_OF_A_PUSH)
    handled = next(span for span in spans if span.name == "process push-sender.standard")
    assert {span.process for span in spans if span.name == "POST" and span.parent == handled.id} == {
        "push-sender consume"
    }
    assert loose_ends(spans, root=root) == []


async def test_spans_logs_and_strangers_learn_nothing_about_anybody(watched: Watched, phone: str) -> None:
    someone, (told, trace, _), (second, second_trace, _) = person(phone), traceparent(), traceparent()
    await watched.register(someone["user_id"], DEVICE)
    await watched.forget(someone["user_id"], f"{DEVICE}-gone?phone={phone}")
    await watched.outsider.tell("otp.requested", {"phone": phone, "code": CODE}, traceparent=told)
    await watched.outsider.tell(
        "payment.confirmed", bill(payment_id="p", recipient=someone, amount=7_319_553), traceparent=second
    )
    await watched.outsider.tell("otp.requested", {"phone": f"{phone}99", "code": CODE}, traceparent=second)
    await watched.whole(trace, WAY_OF_A_CODE)
    await watched.whole(second_trace, WAY_OF_AN_SMS)

    await eventually(lambda: "DELETE /v2/devices/{token:rest}" in {span.name for span in watched.collector.spans})

    told_of = [span.whole for span in watched.collector.spans] + lines(watched.logs)
    for planted in (phone, CODE, DEVICE, "7,319,553", "482913", "Spacehub код"):
        assert [line for line in told_of if planted in line] == []


async def test_each_line_about_an_event_names_it_and_its_trace(watched: Watched) -> None:
    told, trace, _ = traceparent()
    outcome = {"sms_id": str(uuid4()), "source_id": "bill-77", "segments": 1, "attempts": 1, "duration_ms": 9}

    event = await watched.outsider.tell("sms.sent", outcome, traceparent=told)

    [line] = await eventually(lambda: [json.loads(line) for line in lines(watched.logs) if trace in line])
    assert line["event"] == "outcome_without_delivery"
    assert (line["event_id"], line["source_id"], line["trace_id"]) == (event, "bill-77", trace)


def lines(directory: Path) -> list[str]:
    """What our processes wrote, line by line; a carrier and an FCM are strangers."""
    ours = [log for log in directory.glob("*.log") if "simulator" not in log.name]
    return [line for log in ours for line in log.read_text(encoding="utf-8").splitlines()]
