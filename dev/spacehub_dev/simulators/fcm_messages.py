"""What FCM finds wrong with a message, as far as our messages could go wrong (REST reference of projects.messages)."""

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from aiohttp import web

from spacehub_dev.simulators.fcm_errors import invalid_argument, invalid_json

MOST_BYTES = 4096
LONGEST_TTL = 2_419_200  # four weeks in seconds

TARGETS = ("token", "fid", "topic", "condition")

_NAMES: Mapping[str, frozenset[str]] = {
    "": frozenset({"message", "validate_only"}),
    "message": frozenset({"name", "data", "notification", "android", "webpush", "apns", "fcm_options", *TARGETS}),
    "message.notification": frozenset({"title", "body", "image"}),
    "message.android": frozenset(
        {
            *("collapse_key", "priority", "ttl", "restricted_package_name", "data", "notification", "fcm_options"),
            *("direct_boot_ok", "bandwidth_constrained_ok", "restricted_satellite_ok"),
        }
    ),
    "message.webpush": frozenset({"headers", "data", "notification", "fcm_options"}),
    "message.webpush.fcm_options": frozenset({"link", "analytics_label"}),
    "message.apns": frozenset({"headers", "payload", "fcm_options", "live_activity_token"}),
}
"""The keys that FCM knows, where it is strict about them."""

_STRINGS = (
    "message.data",
    "message.android.data",
    "message.webpush.data",
    "message.webpush.headers",
    "message.apns.headers",
)
_CAMEL = re.compile(r"(?<=[a-z])([A-Z])")
_RESERVED = re.compile(r"from|message_type|google.*|gcm.*")


def fault_in(request: Mapping[str, object], *, size: int) -> web.Response | None:
    """The refusal of a send request (its parsed body, keys in snake case), or None when FCM would take it.

    `size` is the body's, in bytes: a payload is weighed only when the whole is too heavy.
    """
    fault = next(_faults(request), None)
    return fault or (next(_too_big(request), None) if size > MOST_BYTES else None)


def snake_case(value: object) -> object:
    """`value` with FCM's camelCase keys (`fcmOptions`) as snake_case: both are taken. Free-form parts keep theirs."""
    return _snake_case(value, "")


def _snake_case(value: object, path: str) -> object:
    if not isinstance(value, dict) or path in _STRINGS or path.endswith(".payload"):
        return value
    named = {key if key.islower() else _CAMEL.sub(r"_\1", key).lower(): inner for key, inner in value.items()}
    return {key: _snake_case(inner, f"{path}.{key}".removeprefix(".")) for key, inner in named.items()}


def _faults(request: Mapping[str, object]) -> Iterator[web.Response]:
    for path, names in _NAMES.items():
        for unknown in sorted(_object(request, path).keys() - names):
            where = f" at '{path}'" if path else ""
            yield invalid_json(
                path, f'Invalid JSON payload received. Unknown name "{unknown}"{where}: Cannot find field.'
            )
    for path in _STRINGS:
        for number, value in enumerate(_object(request, path).values()):
            if not isinstance(value, str):
                field = f"{path}[{number}].value"
                yield invalid_json(field, f"Invalid value at '{field}' (TYPE_STRING), {json.dumps(value)}")

    message = _object(request, "message")
    targets = [name for name in TARGETS if message.get(name)]
    if not targets:
        yield invalid_argument("message", "Recipient of the message is not set.")
    if len(targets) > 1:
        yield invalid_json(
            "message",
            f"Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{targets[1]}'",
        )

    for key in _object(request, "message.data"):
        if _RESERVED.fullmatch(key):
            yield invalid_argument("message.data", f"Invalid data payload key: {key}")
    ttl = _object(request, "message.android").get("ttl", "0s")
    if not (
        isinstance(ttl, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", ttl) and float(ttl[:-1]) <= LONGEST_TTL
    ):
        yield invalid_argument(
            "message.android.ttl",
            f"Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration), {ttl!r}",
        )
    link = _object(request, "message.webpush.fcm_options").get("link")
    if link is not None and not (isinstance(link, str) and urlsplit(link).scheme == "https"):
        yield invalid_argument("message.webpush.fcm_options.link", "WebpushFcmOptions.link must be an HTTPS URL.")


def _too_big(request: Mapping[str, object]) -> Iterator[web.Response]:
    message = _object(request, "message")
    for platform, name in (("android", "Android"), ("apns", "iOS"), ("webpush", "Web")):
        payload = {key: message[key] for key in ("data", "notification", platform) if key in message}
        if len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()) > MOST_BYTES:
            yield invalid_argument("message", f"{name} message is too big")


def _object(request: Mapping[str, object], path: str) -> Mapping[str, object]:
    """The object at a dotted path; empty where there is none."""
    found: object = request
    for step in path.split(".") if path else ():
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
