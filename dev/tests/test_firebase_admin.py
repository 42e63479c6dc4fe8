"""The real firebase-admin against the FCM simulator: what it makes of a success and of each error.

The library has no setting for FCM's address (7.7: `_MessagingService.FCM_URL` is a constant, copied into `_fcm_url`);
these tests change that one attribute. All else is configuration: the service account's `token_uri`, and `httpTimeout`.
"""

import asyncio
import socket
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import firebase_admin
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, exceptions, messaging
from spacehub.testing.waiting import eventually


@pytest.fixture(scope="module")
async def fcm() -> AsyncIterator[httpx.AsyncClient]:
    """A simulator in a process of its own (the library refreshes its credentials with the event loop blocked)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("spacehub-dev")
    process = await asyncio.create_subprocess_exec(str(command), "simulate", "fcm", "--port", str(port), env={})
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            async def up() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(up)
            yield client
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture(scope="module")
async def app(fcm: httpx.AsyncClient) -> AsyncIterator[firebase_admin.App]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "spacehub",
        "private_key_id": "test",
        "private_key": key.decode(),
        "client_email": "push@spacehub.iam.gserviceaccount.com",
        "token_uri": str(fcm.base_url.join("/token")),
    }
    app = firebase_admin.initialize_app(credentials.Certificate(account), {"httpTimeout": 4}, name="simulated")
    service = messaging._get_messaging_service(app)
    service._fcm_url = str(fcm.base_url.join("/v1/projects/spacehub/messages:send"))
    yield app
    await service._async_client.aclose()
    await asyncio.to_thread(firebase_admin.delete_app, app)  # it calls asyncio.run


@pytest.fixture(autouse=True)
async def well(fcm: httpx.AsyncClient) -> None:
    await fcm.put("/control/behaviour", json={"mode": "ok"})
    await fcm.delete("/control/messages")


async def send(app: firebase_admin.App, *tokens: str, **content: Any) -> list[messaging.SendResponse]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tokens; installation ids are not issued by our apps yet
        message = messaging.MulticastMessage(tokens=list(tokens), **content)
        batch = await messaging.send_each_for_multicast_async(message, app=app)
    responses: list[messaging.SendResponse] = batch.responses
    return responses


async def accepted(fcm: httpx.AsyncClient) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = (await fcm.get("/control/messages")).json()["messages"]
    return messages


async def test_push_arrives_as_the_library_wrote_it(app: firebase_admin.App, fcm: httpx.AsyncClient) -> None:
    responses = await send(
        app,
        "t-1",
        "t-2",
        notification=messaging.Notification("Bill", "₮1,250,000"),
        data={"link": "spacehub://bills/1"},
        android=messaging.AndroidConfig(
            ttl=300, priority="high", notification=messaging.AndroidNotification(tag="n-1", sound="default")
        ),
        apns=messaging.APNSConfig(
            headers={"apns-collapse-id": "n-1"}, payload=messaging.APNSPayload(messaging.Aps(sound="default"))
        ),
        webpush=messaging.WebpushConfig(
            notification=messaging.WebpushNotification(tag="n-1"),
            fcm_options=messaging.WebpushFCMOptions(link="https://app.spacehub.mn/bills/1"),
        ),
    )

    assert all(response.success for response in responses)
    kept = {message["token"]: message for message in await accepted(fcm)}
    assert {message["name"] for message in kept.values()} == {response.message_id for response in responses}
    assert kept.keys() == {"t-1", "t-2"}
    assert kept["t-1"]["android"] == {
        "ttl": "300s",
        "priority": "high",
        "notification": {"tag": "n-1", "sound": "default"},
    }


async def test_100_at_once_reach_100_devices(app: firebase_admin.App, fcm: httpx.AsyncClient) -> None:
    responses = await send(app, *(f"t-{number}" for number in range(100)))

    assert all(response.success for response in responses)
    assert len({message["token"] for message in await accepted(fcm)}) == 100


ERRORS = {
    "UNREGISTERED": (messaging.UnregisteredError, "NOT_FOUND", 404),
    "SENDER_ID_MISMATCH": (messaging.SenderIdMismatchError, "PERMISSION_DENIED", 403),
    "INVALID_ARGUMENT": (exceptions.InvalidArgumentError, "INVALID_ARGUMENT", 400),
    "QUOTA_EXCEEDED": (messaging.QuotaExceededError, "RESOURCE_EXHAUSTED", 429),
    "UNAVAILABLE": (exceptions.UnavailableError, "UNAVAILABLE", 503),
    "INTERNAL": (exceptions.InternalError, "INTERNAL", 500),
    "THIRD_PARTY_AUTH_ERROR": (messaging.ThirdPartyAuthError, "UNAUTHENTICATED", 401),
}


async def test_each_error_of_a_token_comes_out_as_its_exception(
    app: firebase_admin.App, fcm: httpx.AsyncClient
) -> None:
    """The library tries 500 and 503 five times, which takes it seven seconds; hence all errors in one batch."""
    for code in ERRORS:
        await fcm.put(f"/control/tokens/{code}", json={"error": code, "retry_after": 60})

    responses = await send(app, *ERRORS, "fine")

    told = {
        code: (type(response.exception), response.exception.code, response.exception.http_response.status_code)
        for code, response in zip(ERRORS, responses, strict=False)
    }
    assert told == ERRORS
    assert responses[-1].success
    quota = dict(zip(ERRORS, responses, strict=False))["QUOTA_EXCEEDED"].exception.http_response
    assert quota.headers["Retry-After"] == "60"


async def test_fault_of_the_payload_blames_another_field(app: firebase_admin.App) -> None:
    (response,) = await send(app, "t-1", data={"x": "y" * 4096})

    assert isinstance(response.exception, exceptions.InvalidArgumentError)
    details = response.exception.http_response.json()["error"]["details"]
    assert [violation["field"] for detail in details for violation in detail.get("fieldViolations", [])] == ["message"]


async def test_refused_login_comes_out_as_unauthenticated(app: firebase_admin.App, fcm: httpx.AsyncClient) -> None:
    await fcm.put("/control/behaviour", json={"mode": "401"})

    (response,) = await send(app, "t-1")

    assert type(response.exception) is exceptions.UnauthenticatedError


async def test_projects_quota_is_not_the_quota_error_of_a_token(
    app: firebase_admin.App, fcm: httpx.AsyncClient
) -> None:
    await fcm.put("/control/behaviour", json={"mode": "429", "retry_after": 7})

    (response,) = await send(app, "t-1")

    assert type(response.exception) is exceptions.ResourceExhaustedError
    assert response.exception.http_response.headers["Retry-After"] == "7"


async def test_lost_connection_and_silence_have_no_response(app: firebase_admin.App, fcm: httpx.AsyncClient) -> None:
    await fcm.put("/control/behaviour", json={"mode": "accept_then_reset"})
    (lost,) = await send(app, "t-1")
    await fcm.put("/control/behaviour", json={"mode": "hang"})
    (silent,) = await send(app, "t-1")

    assert (type(lost.exception), lost.exception.http_response) == (exceptions.UnknownError, None)
    assert (type(silent.exception), silent.exception.http_response) == (exceptions.DeadlineExceededError, None)
    assert len(await accepted(fcm)) == 1


async def test_one_unreadable_answer_fails_the_whole_batch(app: firebase_admin.App, fcm: httpx.AsyncClient) -> None:
    await fcm.put("/control/behaviour", json={"mode": "garbage", "count": 1})

    with pytest.raises(exceptions.UnknownError):
        await send(app, "t-1", "t-2")

    await eventually(lambda: accepted(fcm))
