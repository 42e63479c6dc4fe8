"""What an answer of FCM means: one table of its error codes, and how the body names the code.

https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
https://firebase.google.com/docs/cloud-messaging/error-codes
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Literal

from push_sender.fates import Dead, Fate, Passing, Reached, Refused, Untried

Stops = Literal["lane", "platform"]

SENDER_ID_MISMATCH = "sender_id_mismatch"


@dataclass(frozen=True, slots=True)
class Row:
    """What a code means. `stops` is what has to rest because its next message would fare no better; `at_least` is the
    shortest wait before the same message may be sent again."""

    fate: Fate
    stops: Stops | None = None
    at_least: timedelta | None = None


PAYLOAD = Row(Refused("invalid_argument"))
TOKEN = Row(Dead("invalid_token"))
QUOTA = Row(Passing("quota_exceeded"), at_least=timedelta(minutes=1))
PLATFORM = Row(Passing("third_party_auth_error"), stops="platform", at_least=timedelta(minutes=1))
CREDENTIALS = Row(Untried("credentials_refused"), stops="lane")
PERMISSION = Row(Untried("permission_denied"), stops="lane")
PROJECT = Row(Untried("project_not_found"), stops="lane")

CODES: Mapping[str, Row] = MappingProxyType(
    {
        "UNREGISTERED": Row(Dead("unregistered")),
        "SENDER_ID_MISMATCH": Row(Dead(SENDER_ID_MISMATCH)),
        "INVALID_ARGUMENT": PAYLOAD,  # or TOKEN, when the details say so
        "QUOTA_EXCEEDED": QUOTA,
        "UNAVAILABLE": Row(Passing("unavailable")),
        "INTERNAL": Row(Passing("internal")),
        "THIRD_PARTY_AUTH_ERROR": PLATFORM,
        "APNS_AUTH_ERROR": PLATFORM,  # what it was called before
    }
)
"""FCM's own codes, from the `FcmError` in the details."""

STATUSES: Mapping[str, Row] = MappingProxyType(
    {
        "INVALID_ARGUMENT": PAYLOAD,
        "UNAUTHENTICATED": CREDENTIALS,
        "PERMISSION_DENIED": PERMISSION,
        "NOT_FOUND": PROJECT,
        "RESOURCE_EXHAUSTED": QUOTA,
    }
)
"""Google's general status words, where FCM gives no code of its own."""

HTTP: Mapping[int, Row] = MappingProxyType({401: CREDENTIALS, 403: PERMISSION, 404: PROJECT, 429: QUOTA})
"""The HTTP status alone, where the body can't be read. Every other one is passing: somebody else answered for FCM."""

MALFORMED = "the registration token is not a valid fcm registration token"
"""FCM's sentence for a token it can't read, which it often sends without naming the field."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The fate of the message, and what should rest after it."""

    fate: Fate
    stops: Stops | None = None


def read_answer(status: int, body: bytes, *, retry_in: timedelta | None = None) -> Answer:
    """What FCM's answer means for the message; `retry_in` is what its Retry-After asked for."""
    content = _parsed(body)
    if 200 <= status < 300:
        if isinstance(content.get("name"), str):
            return Answer(Reached())
        return Answer(Passing("unreadable_answer", retry_in))
    row = _row(status, content)
    if isinstance(row.fate, Passing | Untried):
        waits = [wait for wait in (retry_in, row.at_least) if wait is not None]
        return Answer(replace(row.fate, retry_in=max(waits, default=None)), row.stops)
    return Answer(row.fate)


def _row(status: int, content: Mapping[str, Any]) -> Row:
    error = content.get("error")
    if not isinstance(error, dict):
        return HTTP.get(status) or Row(Passing(f"status_{status}"))
    code = next((str(detail.get("errorCode")) for detail in _details(error, "FcmError")), "")
    row = CODES.get(code) or STATUSES.get(str(error.get("status"))) or HTTP.get(status)
    if row is PAYLOAD and _speaks_of_the_token(error):
        return TOKEN
    return row or Row(Passing(f"status_{status}"))


def _speaks_of_the_token(error: Mapping[str, Any]) -> bool:
    """Whether an invalid argument is the token itself, and nothing else."""
    fields = [
        violation.get("field")
        for detail in _details(error, "BadRequest")
        for violation in detail.get("fieldViolations") or ()
        if isinstance(violation, dict)
    ]
    if fields:
        return all(field in ("message.token", "message.fid") for field in fields)
    return str(error.get("message")).strip().rstrip(".").lower() == MALFORMED


def _details(error: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    """The details whose `@type` ends in `kind`."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).rpartition(".")[2] == kind:
            yield detail


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
