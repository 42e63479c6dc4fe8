"""Handing an SMS over: what each answer of the carrier leads to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from sms_sender.attempts import Attempt
from sms_sender.fates import CredentialsRefused, GatewayUnavailable, NoAnswer, RateLimited, Refused
from sms_sender.sending import give_up, send_sms
from sms_sender.testing.carrier import FakeGateway
from sms_sender.testing.memory import FakeLedger, Row
from sms_sender.testing.requests import bill, otp
from spacehub.errors import Away, NotNow, TemporaryFailure
from spacehub.events.facts import SmsExpired, SmsFailed, SmsSent, SmsUnknown
from spacehub.events.requests import SmsRequested

PHONE = "97699112233"


class Room:
    """A deed with its fakes."""

    def __init__(self, *, lease: timedelta = timedelta(seconds=20)) -> None:
        self.gateway = FakeGateway()
        self.ledger = FakeLedger(lease=lease)

    async def send(self, sms: SmsRequested) -> None:
        await send_sms(sms, gateway=self.gateway, ledger=self.ledger, deadline=timedelta(seconds=10))

    def row(self, sms: SmsRequested) -> Row:
        return self.ledger.rows[sms.sms_id]


@pytest.fixture
def room() -> Room:
    return Room()


async def test_a_text_reaches_the_phone_and_its_end_is_told(room: Room) -> None:
    sms = bill(phone="+976 9911-2233")

    await room.send(sms)

    [event] = room.ledger.events
    assert room.gateway.texts_to(PHONE) == [sms.text]
    assert isinstance(event.data, SmsSent)
    assert (event.data.message_id, event.data.segments, event.data.attempts) == ("m-1", 1, 1)


async def test_redelivered_sms_is_paid_for_once(room: Room) -> None:
    sms = bill()

    for _ in range(3):
        await room.send(sms)

    assert room.gateway.calls == 1


async def test_every_segment_of_a_long_text_is_told(room: Room) -> None:
    sms = bill(text="ж" * 71)

    await room.send(sms)

    assert room.row(sms).segments == 2


@pytest.mark.parametrize("phone", ["70112233", "+1 202 555 0143", "nobody", ""])
async def test_a_number_that_cannot_be_texted_fails_without_a_call(room: Room, phone: str) -> None:
    sms = bill(phone=phone)

    for _ in range(2):
        await room.send(sms)

    [event] = room.ledger.events
    assert room.gateway.calls == 0
    assert isinstance(event.data, SmsFailed)
    assert event.data.reason == "invalid_phone"


async def test_a_refusal_is_an_end(room: Room) -> None:
    sms = bill()
    room.gateway.fail_next(Refused("rejected_text"))

    for _ in range(2):
        await room.send(sms)

    [event] = room.ledger.events
    assert isinstance(event.data, SmsFailed)
    assert (event.data.reason, room.gateway.calls) == ("rejected_text", 1)


async def test_outage_leaves_the_sms_free_to_retry(room: Room) -> None:
    sms = bill()
    room.gateway.fail_next(GatewayUnavailable("status_503", retry_in=timedelta(seconds=30)))

    with pytest.raises(TemporaryFailure) as failure:
        await room.send(sms)
    await room.send(sms)

    assert room.gateway.texts_to(PHONE) == [sms.text]
    assert (failure.value.counts, failure.value.reason) == (True, "status_503")
    assert (failure.value.retry_in, failure.value.not_after) == (timedelta(seconds=30), sms.expires_at)
    assert [event.data.type for event in room.ledger.events] == ["sms.sent"]


async def test_a_request_to_slow_down_is_heeded(room: Room) -> None:
    room.gateway.fail_next(RateLimited("rate_limited", retry_in=timedelta(seconds=7)))

    with pytest.raises(TemporaryFailure) as failure:
        await room.send(bill())

    assert failure.value.retry_in == timedelta(seconds=7)


async def test_refused_credentials_use_up_no_attempt(room: Room) -> None:
    sms = bill()
    room.gateway.fail_next(CredentialsRefused("credentials"))

    with pytest.raises(NotNow):
        await room.send(sms)

    assert (room.row(sms).status, room.row(sms).attempts) == ("waiting", 0)


async def test_a_bill_that_may_have_been_sent_rests_as_unknown(room: Room) -> None:
    sms = bill()
    room.gateway.fail_next(NoAnswer("timeout"), taking_it=True)

    for _ in range(2):
        await room.send(sms)

    [event] = room.ledger.events
    assert room.gateway.texts_to(PHONE) == [sms.text]
    assert isinstance(event.data, SmsUnknown)
    assert event.data.reason == "timeout"


async def test_an_otp_that_may_have_been_sent_is_sent_once_more(room: Room) -> None:
    sms = otp()
    room.gateway.fail_next(NoAnswer("timeout"))

    with pytest.raises(TemporaryFailure) as failure:
        await room.send(sms)
    await room.send(sms)

    assert (failure.value.retry_in, failure.value.not_after) == (timedelta(seconds=5), sms.expires_at)
    assert room.gateway.texts_to(PHONE) == [sms.text]
    assert (room.row(sms).status, room.row(sms).ambiguous) == ("sent", 1)


async def test_an_otp_is_never_sent_a_third_time(room: Room) -> None:
    sms = otp()
    for _ in range(3):
        room.gateway.fail_next(NoAnswer("timeout"), taking_it=True)

    with pytest.raises(TemporaryFailure):
        await room.send(sms)
    for _ in range(2):
        await room.send(sms)

    assert (room.gateway.calls, room.row(sms).status, room.row(sms).ambiguous) == (2, "unknown", 2)


async def test_an_otp_in_doubt_that_nobody_could_type_in_any_more_rests_as_unknown(room: Room) -> None:
    sms = otp(expires_at=datetime.now(UTC) + timedelta(seconds=29))
    room.gateway.fail_next(NoAnswer("timeout"))

    await room.send(sms)

    assert (room.gateway.calls, room.row(sms).status) == (1, "unknown")


async def test_a_critical_text_that_is_no_otp_is_not_sent_again_when_in_doubt(room: Room) -> None:
    sms = otp(about="notification.requested")
    room.gateway.fail_next(NoAnswer("timeout"))

    await room.send(sms)

    assert room.row(sms).status == "unknown"


async def test_whatever_breaks_during_the_call_counts_as_doubt(room: Room) -> None:
    sms = bill()
    room.gateway.fail_next(RuntimeError(f"could not send {sms.text} to {sms.phone}"), taking_it=True)

    for _ in range(2):
        await room.send(sms)

    assert (room.gateway.calls, room.row(sms).status, room.row(sms).reason) == (1, "unknown", "unexpected")


async def test_what_broke_is_logged_without_number_and_text(
    room: Room, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sms = bill()
    room.gateway.fail_next(RuntimeError(f"could not send {sms.text} to {sms.phone}"))

    await room.send(sms)

    logged = capsys.readouterr().out + caplog.text
    assert "gateway_client_broke" in logged
    assert str(sms.sms_id) in logged
    assert sms.phone not in logged
    assert sms.text not in logged


async def test_an_sms_past_its_time_is_not_sent(room: Room) -> None:
    sms = otp(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    await room.send(sms)

    [event] = room.ledger.events
    assert room.gateway.calls == 0
    assert isinstance(event.data, SmsExpired)


async def test_no_call_starts_without_time_to_end_within_the_lease() -> None:
    room, sms = Room(lease=timedelta(seconds=9)), bill()

    with pytest.raises(NotNow):
        await room.send(sms)

    assert (room.gateway.calls, room.row(sms).status, room.row(sms).attempts) == (0, "waiting", 0)


async def test_an_sms_that_expired_while_it_was_claimed_is_not_sent(room: Room) -> None:
    class SlowLedger(FakeLedger):
        async def claim(self, sms: SmsRequested, *, segments: int) -> Attempt | None:
            attempt = await super().claim(sms, segments=segments)
            return attempt and replace(attempt, valid=timedelta())

    room.ledger, sms = SlowLedger(), otp()

    with pytest.raises(NotNow):
        await room.send(sms)

    assert (room.gateway.calls, room.row(sms).status, room.row(sms).attempts) == (0, "waiting", 0)


async def test_without_the_ledger_nothing_is_sent(room: Room) -> None:
    room.ledger.fail_next("claim", Away("postgresql: gone"))

    with pytest.raises(Away):
        await room.send(bill())

    assert room.gateway.calls == 0


async def test_an_outcome_that_was_not_recorded_never_leads_to_a_second_call(room: Room) -> None:
    sms = bill()
    room.ledger.fail_next("record", RuntimeError("a bug"))

    with pytest.raises(RuntimeError):
        await room.send(sms)
    with pytest.raises(NotNow):
        await room.send(sms)

    assert room.gateway.calls == 1


async def test_used_up_retries_are_recorded_and_a_redrive_sends_after_all(room: Room) -> None:
    sms = bill()
    room.gateway.fail_next(GatewayUnavailable("connect_failed"))
    with pytest.raises(TemporaryFailure):
        await room.send(sms)

    await give_up(sms, ledger=room.ledger)
    await room.send(sms)

    assert [event.data.type for event in room.ledger.events] == ["sms.failed", "sms.sent"]
    assert (room.row(sms).series, room.row(sms).attempts) == (2, 2)


async def test_the_time_from_the_event_to_the_carrier_is_measured_for_what_it_took(room: Room) -> None:
    def measured(part: str, lane: str) -> float:
        name = f"spacehub_sms_event_to_gateway_seconds_{part}"
        return REGISTRY.get_sample_value(name, {"lane": lane}) or 0

    before = {part: measured(part, "critical") for part in ("count", "sum")}
    due_at = datetime.now(UTC) - timedelta(seconds=40)
    room.gateway.fail_next(Refused("rejected_text"))

    for _ in range(2):
        await room.send(otp().model_copy(update={"due_at": due_at}))

    assert measured("count", "critical") == before["count"] + 1
    assert 40 <= measured("sum", "critical") - before["sum"] < 400
