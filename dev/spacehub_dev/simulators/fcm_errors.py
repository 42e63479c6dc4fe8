"""FCM's error bodies: google.rpc.Status as HTTP v1 gives it (firebase.google.com/docs/cloud-messaging/error-codes)."""

from typing import Literal, NamedTuple, get_args

from aiohttp import web

TokenError = Literal[
    "UNREGISTERED",
    "SENDER_ID_MISMATCH",
    "INVALID_ARGUMENT",
    "QUOTA_EXCEEDED",
    "UNAVAILABLE",
    "INTERNAL",
    "THIRD_PARTY_AUTH_ERROR",
]


class _Shape(NamedTuple):
    http: int
    status: str
    message: str


_SHAPES: dict[str, _Shape] = {
    "UNREGISTERED": _Shape(404, "NOT_FOUND", "Requested entity was not found."),
    "SENDER_ID_MISMATCH": _Shape(403, "PERMISSION_DENIED", "SenderId mismatch"),
    "INVALID_ARGUMENT": _Shape(400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"),
    "QUOTA_EXCEEDED": _Shape(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "UNAVAILABLE": _Shape(503, "UNAVAILABLE", "The service is currently unavailable."),
    "INTERNAL": _Shape(500, "INTERNAL", "Internal error encountered."),
    "THIRD_PARTY_AUTH_ERROR": _Shape(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
}
assert set(_SHAPES) == set(get_args(TokenError))


def token_error(code: TokenError, *, field: str = "message.token") -> web.Response:
    """The error of one target. INVALID_ARGUMENT blames `field`: the target, or a part of the payload; with no field it
    has the short form that the documentation shows, where only the message tells that it was the token.
    """
    shape = _SHAPES[code]
    details = [_fcm(code)]
    if code == "QUOTA_EXCEEDED":
        details.append(_detail("rpc.QuotaFailure", violations=[{"subject": "device", "description": shape.message}]))
    if code == "INVALID_ARGUMENT" and field not in ("message.token", "message.fid", ""):
        return invalid_argument(field, "Request contains an invalid argument.")
    if code == "INVALID_ARGUMENT" and field:
        details.append(_violation(field, shape.message))
    return _error(shape.http, shape.status, shape.message, details)


def invalid_argument(field: str, description: str) -> web.Response:
    """A message that FCM understood and refuses."""
    return _error(400, "INVALID_ARGUMENT", description, [_fcm("INVALID_ARGUMENT"), _violation(field, description)])


def invalid_json(field: str, description: str) -> web.Response:
    """A message that does not have the shape of one; here FCM names no error code of its own."""
    return _error(400, "INVALID_ARGUMENT", description, [_violation(field, description)])


def service_error(status: int) -> web.Response:
    """The error of the whole service: 401, 429, 500 or 503. The project's quota (429) names no FCM error code."""
    match status:
        case 401:
            expected = "Expected OAuth 2 access token, login cookie or other valid authentication credential."
            return _error(401, "UNAUTHENTICATED", f"Request had invalid authentication credentials. {expected}", [])
        case 429:
            message = "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute'."
            reason = _detail("rpc.ErrorInfo", reason="RATE_LIMIT_EXCEEDED", domain="googleapis.com")
            return _error(429, "RESOURCE_EXHAUSTED", message, [reason])
        case 500:
            return token_error("INTERNAL")
        case _:
            return token_error("UNAVAILABLE")


def _error(http: int, status: str, message: str, details: list[dict[str, object]]) -> web.Response:
    error: dict[str, object] = {"code": http, "message": message, "status": status}
    if details:
        error["details"] = details
    return web.json_response({"error": error}, status=http)


def _fcm(code: str) -> dict[str, object]:
    return _detail("firebase.fcm.v1.FcmError", errorCode=code)


def _violation(field: str, description: str) -> dict[str, object]:
    return _detail("rpc.BadRequest", fieldViolations=[{"field": field, "description": description}])


def _detail(kind: str, **content: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/google.{kind}", **content}
