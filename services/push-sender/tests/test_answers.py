"""What FCM's answers mean: a row for each code, and for those who answer in its place."""

import json
from datetime import timedelta
from typing import Any

import pytest
from push_sender.answers import Answer, read_answer
from push_sender.fates import Dead, Fate, Passing, Reached, Refused, Untried

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
MINUTE = timedelta(minutes=1)


def body(status: str, *, code: str | None = None, message: str = "no", fields: tuple[str, ...] = ()) -> bytes:
    details: list[dict[str, Any]] = []
    if code is not None:
        details.append({"@type": FCM_ERROR, "errorCode": code})
    if fields:
        violations = [{"field": field, "description": "no"} for field in fields]
        details.append({"@type": BAD_REQUEST, "fieldViolations": violations})
    return json.dumps({"error": {"code": 400, "message": message, "status": status, "details": details}}).encode()


@pytest.mark.parametrize(
    ("http", "status", "code", "fate"),
    [
        (404, "NOT_FOUND", "UNREGISTERED", Dead("unregistered")),
        (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", Dead("sender_id_mismatch")),
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", Refused("invalid_argument")),
        (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", Passing("quota_exceeded", MINUTE)),
        (503, "UNAVAILABLE", "UNAVAILABLE", Passing("unavailable")),
        (500, "INTERNAL", "INTERNAL", Passing("internal")),
    ],
)
def test_each_code_of_fcm_has_its_fate(http: int, status: str, code: str, fate: Fate) -> None:
    assert read_answer(http, body(status, code=code)) == Answer(fate)


@pytest.mark.parametrize("code", ["THIRD_PARTY_AUTH_ERROR", "APNS_AUTH_ERROR"])
def test_a_platform_that_does_not_accept_our_key_is_stopped(code: str) -> None:
    answer = read_answer(401, body("UNAUTHENTICATED", code=code))

    assert answer == Answer(Passing("third_party_auth_error", MINUTE), stops="platform")


@pytest.mark.parametrize(
    ("http", "status", "reason"),
    [
        (401, "UNAUTHENTICATED", "credentials_refused"),
        (403, "PERMISSION_DENIED", "permission_denied"),
        (404, "NOT_FOUND", "project_not_found"),
    ],
)
def test_our_own_fault_stops_the_lane_and_uses_up_no_attempt(http: int, status: str, reason: str) -> None:
    assert read_answer(http, body(status)) == Answer(Untried(reason), stops="lane")
    assert read_answer(http, b"<html>no JSON</html>") == Answer(Untried(reason), stops="lane")


@pytest.mark.parametrize(
    "answer",
    [
        body("INVALID_ARGUMENT", code="INVALID_ARGUMENT", message="Request contains...", fields=("message.token",)),
        body("INVALID_ARGUMENT", fields=("message.token",)),
        body(
            "INVALID_ARGUMENT",
            code="INVALID_ARGUMENT",
            message="The registration token is not a valid FCM registration token",
        ),
    ],
)
def test_token_that_fcm_cannot_read_is_dead(answer: bytes) -> None:
    assert read_answer(400, answer) == Answer(Dead("invalid_token"))


@pytest.mark.parametrize(
    "answer",
    [
        body("INVALID_ARGUMENT", code="INVALID_ARGUMENT", message="Android message is too big"),
        body("INVALID_ARGUMENT", code="INVALID_ARGUMENT", fields=("message.android.ttl",)),
        body("INVALID_ARGUMENT", fields=("message.data[0].value",)),
        body("INVALID_ARGUMENT", fields=("message.token", "message.android.ttl")),
        body(
            "INVALID_ARGUMENT",
            message="The registration token is not a valid FCM registration token",
            fields=("message.data[0].key",),
        ),
        body("INVALID_ARGUMENT"),
    ],
)
def test_payload_fault_leaves_the_token_alone(answer: bytes) -> None:
    assert read_answer(400, answer) == Answer(Refused("invalid_argument"))


@pytest.mark.parametrize("http", [400, 408, 418, 500, 502, 503, 504, 302])
@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"error": "no"}', b"\xff"])
def test_answer_of_somebody_else_is_passing(http: int, answer: bytes) -> None:
    assert read_answer(http, answer) == Answer(Passing(f"status_{http}"))


def test_success_is_matched_in_the_body() -> None:
    assert read_answer(200, b'{"name":"projects/p/messages/1"}') == Answer(Reached())
    assert read_answer(200, b"\x8f\x00<<{]") == Answer(Passing("unreadable_answer"))
    assert read_answer(200, b"{}") == Answer(Passing("unreadable_answer"))


@pytest.mark.parametrize(
    ("http", "status", "asked", "waits"),
    [
        (503, "UNAVAILABLE", timedelta(seconds=7), timedelta(seconds=7)),
        (429, "RESOURCE_EXHAUSTED", timedelta(seconds=7), MINUTE),
        (429, "RESOURCE_EXHAUSTED", timedelta(minutes=7), timedelta(minutes=7)),
        (429, "RESOURCE_EXHAUSTED", None, MINUTE),
        (500, "INTERNAL", None, None),
    ],
)
def test_retry_after_is_kept_and_a_quota_waits_a_minute_at_least(
    http: int, status: str, asked: timedelta | None, waits: timedelta | None
) -> None:
    fate = read_answer(http, body(status), retry_in=asked).fate

    assert isinstance(fate, Passing)
    assert fate.retry_in == waits
