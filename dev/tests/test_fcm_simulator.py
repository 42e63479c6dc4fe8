"""The FCM simulator from outside: HTTP v1's answers and error bodies, judged by its REST reference."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from spacehub_dev.simulators.fcm import fcm_simulator

SEND = "/v1/projects/spacehub/messages:send"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def assertion(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "push@spacehub", "aud": "https://oauth2.googleapis.com/token", "scope": "x", "iat": now}
    return jwt.encode({**claims, "exp": now + 3600, **changes}, KEY, algorithm="RS256")


@pytest.fixture
async def fcm() -> AsyncIterator[httpx.AsyncClient]:
    """A fresh simulator, and a client that it lets in."""
    runner = web.AppRunner(fcm_simulator(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with httpx.AsyncClient(base_url=site.name, trust_env=False) as client:
        grant = await client.post("/token", data={"grant_type": GRANT, "assertion": assertion()})
        client.headers["Authorization"] = f"Bearer {grant.json()['access_token']}"
        yield client
    await runner.cleanup()


async def send(fcm: httpx.AsyncClient, message: object) -> httpx.Response:
    return await fcm.post(SEND, json={"message": message})


async def accepted(fcm: httpx.AsyncClient) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = (await fcm.get("/control/messages")).json()["messages"]
    return messages


async def test_message_is_accepted_and_remembered_as_sent(fcm: httpx.AsyncClient) -> None:
    message = {"token": "t-1", "data": {"link": "spacehub://bills/1"}, "android": {"ttl": "300s"}}

    answer = await send(fcm, message)

    assert answer.status_code == 200
    assert answer.json()["name"].startswith("projects/spacehub/messages/")
    (kept,) = await accepted(fcm)
    assert kept["message"] == message
    assert (kept["token"], kept["name"]) == ("t-1", answer.json()["name"])


async def test_dry_run_reaches_nobody(fcm: httpx.AsyncClient) -> None:
    answer = await fcm.post(SEND, json={"message": {"token": "t-1"}, "validate_only": True})

    assert answer.json() == {"name": "projects/spacehub/messages/fake_message_id"}
    assert await accepted(fcm) == []


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password", "assertion": assertion()}, "unsupported_grant_type"),
        ({"grant_type": GRANT}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": "a.b.c"}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion().rpartition(".")[0] + "."}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(scope=None)}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(exp=int(time.time()) + 9000)}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(iat=1, exp=3000)}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": jwt.encode({}, "x" * 32, algorithm="HS256")}, "invalid_grant"),
    ],
)
async def test_token_needs_a_service_accounts_assertion(
    fcm: httpx.AsyncClient, form: dict[str, str], error: str
) -> None:
    answer = await fcm.post("/token", data=form)

    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic eA==", "Bearer ya29.simulated.1.x"])
async def test_send_needs_an_access_token_that_holds(fcm: httpx.AsyncClient, authorization: str) -> None:
    answer = await fcm.post(SEND, json={"message": {"token": "t"}}, headers={"Authorization": authorization})

    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def details(answer: httpx.Response) -> tuple[str | None, str | None]:
    """The FCM error code and the field that is blamed."""
    code = field = None
    for detail in answer.json()["error"].get("details", []):
        match detail["@type"]:
            case "type.googleapis.com/google.firebase.fcm.v1.FcmError":
                code = detail["errorCode"]
            case "type.googleapis.com/google.rpc.BadRequest":
                field = detail["fieldViolations"][0]["field"]
    return code, field


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ({}, "INVALID_ARGUMENT", "message"),
        ({"token": ""}, "INVALID_ARGUMENT", "message"),
        ("hello", "INVALID_ARGUMENT", "message"),
        ({"token": "t", "topic": "news"}, None, "message"),
        ({"token": "t", "fid": "f"}, None, "message"),
        ({"token": "t", "titel": "x"}, None, "message"),
        ({"token": "t", "notification": {"text": "x"}}, None, "message.notification"),
        ({"token": "t", "android": {"sound": "x"}}, None, "message.android"),
        ({"token": "t", "data": {"n": 12}}, None, "message.data[0].value"),
        ({"token": "t", "data": {"from": "x"}}, "INVALID_ARGUMENT", "message.data"),
        ({"token": "t", "data": {"google.x": "x"}}, "INVALID_ARGUMENT", "message.data"),
        ({"token": "t", "apns": {"headers": {"apns-priority": 10}}}, None, "message.apns.headers[0].value"),
        ({"token": "t", "android": {"ttl": "300"}}, "INVALID_ARGUMENT", "message.android.ttl"),
        ({"token": "t", "android": {"ttl": "9999999s"}}, "INVALID_ARGUMENT", "message.android.ttl"),
        (
            {"token": "t", "webpush": {"fcm_options": {"link": "spacehub://bills/1"}}},
            "INVALID_ARGUMENT",
            "message.webpush.fcm_options.link",
        ),
        (
            {"token": "t", "webpush": {"fcmOptions": {"link": "http://x.mn"}}},
            "INVALID_ARGUMENT",
            "message.webpush.fcm_options.link",
        ),
        ({"token": "t", "data": {"x": "y" * 4096}}, "INVALID_ARGUMENT", "message"),
        ({"token": "t", "notification": {"body": "ж" * 2048}}, "INVALID_ARGUMENT", "message"),
    ],
)
async def test_message_that_fcm_would_not_take(
    fcm: httpx.AsyncClient, message: object, code: str | None, field: str
) -> None:
    answer = await send(fcm, message)

    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert details(answer) == (code, field)
    assert await accepted(fcm) == []


async def test_payload_just_under_the_limit_is_taken(fcm: httpx.AsyncClient) -> None:
    message = {"token": "t" * 4096, "notification": {"title": "ж" * 100, "body": "ж" * 1800}, "fcmOptions": {}}

    assert (await send(fcm, message)).status_code == 200


@pytest.mark.parametrize("body", ["", "[]", '{"message":', "[" * 10_000])
async def test_body_that_is_no_json_object_is_refused(fcm: httpx.AsyncClient, body: str) -> None:
    assert (await fcm.post(SEND, content=body)).status_code == 400


TOKEN_ERRORS = [
    ("UNREGISTERED", 404, "NOT_FOUND"),
    ("SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED"),
    ("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
    ("QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED"),
    ("UNAVAILABLE", 503, "UNAVAILABLE"),
    ("INTERNAL", 500, "INTERNAL"),
    ("THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED"),
]


@pytest.mark.parametrize(("code", "status", "name"), TOKEN_ERRORS)
@pytest.mark.parametrize("target", ["token", "fid"])
async def test_target_fails_until_it_is_well_again(
    fcm: httpx.AsyncClient, code: str, status: int, name: str, target: str
) -> None:
    await fcm.put("/control/tokens/t-1", json={"error": code})

    failed = await send(fcm, {target: "t-1"})
    other = await send(fcm, {target: "t-2"})
    await fcm.put("/control/tokens/t-1", json={"error": None})
    well = await send(fcm, {target: "t-1"})

    assert (failed.status_code, failed.json()["error"]["code"], failed.json()["error"]["status"]) == (
        status,
        status,
        name,
    )
    assert details(failed)[0] == code
    assert (other.status_code, well.status_code) == (200, 200)
    assert len(await accepted(fcm)) == 2


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, ("INVALID_ARGUMENT", "message.token")),
        ({"field": "message.data"}, ("INVALID_ARGUMENT", "message.data")),
        ({"field": ""}, ("INVALID_ARGUMENT", None)),
    ],
)
async def test_invalid_argument_blames_what_it_is_told_to(
    fcm: httpx.AsyncClient, order: dict[str, str], expected: tuple[str, str | None]
) -> None:
    await fcm.put("/control/tokens/t-1", json={"error": "INVALID_ARGUMENT", **order})

    assert details(await send(fcm, {"token": "t-1"})) == expected


@pytest.mark.parametrize("token", ["a/b", "a%2Fb", "a b", "?", "#", "a:b", "+", "ж😀", "a//b/", "x" * 4096])
async def test_token_of_any_characters_can_fail(fcm: httpx.AsyncClient, token: str) -> None:
    order = await fcm.put(f"/control/tokens/{quote(token, safe='')}", json={"error": "UNREGISTERED"})

    assert order.status_code == 200
    assert (await send(fcm, {"token": token})).status_code == 404


@pytest.mark.parametrize("nonsense", ["", "{}", '{"error": "TIRED"}', '{"error": "INTERNAL", "retry_after": -1}'])
async def test_nonsense_about_a_token_is_refused(fcm: httpx.AsyncClient, nonsense: str) -> None:
    assert (await fcm.put("/control/tokens/t-1", content=nonsense)).status_code == 422


@pytest.mark.parametrize(
    ("mode", "name", "code", "retry_after"),
    [
        ("500", "INTERNAL", "INTERNAL", None),
        ("503", "UNAVAILABLE", "UNAVAILABLE", "9"),
        ("429", "RESOURCE_EXHAUSTED", None, "9"),
        ("401", "UNAUTHENTICATED", None, None),
    ],
)
async def test_whole_service_can_fail(
    fcm: httpx.AsyncClient, mode: str, name: str, code: str | None, retry_after: str | None
) -> None:
    await fcm.put("/control/behaviour", json={"mode": mode, "retry_after": 9})

    answer = await send(fcm, {"token": "t"})

    assert (answer.status_code, answer.json()["error"]["status"]) == (int(mode), name)
    assert (details(answer)[0], answer.headers.get("Retry-After")) == (code, retry_after)
    assert await accepted(fcm) == []


async def test_token_can_ask_to_wait(fcm: httpx.AsyncClient) -> None:
    await fcm.put("/control/tokens/t-1", json={"error": "QUOTA_EXCEEDED", "retry_after": 60})

    assert (await send(fcm, {"token": "t-1"})).headers["Retry-After"] == "60"
