"""The calls over HTTP: those of the app, and the internal one of push-sender, each an application of its own."""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Path, Request, Response
from spacehub.auth.guard import Authenticate, CurrentCaller
from spacehub.http_api import http_api
from spacehub.problems import Problem, documented
from starlette.convertors import Convertor, register_url_convertor

from devices_api.devices import Device, Registration
from devices_api.registering import Registry, register, resolve
from devices_api.shapes import AnswerBody, DeviceBody, QuestionBody, RegistrationBody

LARGEST_QUESTION = 64 * 1024
"""Bytes of an internal request: a thousand UUIDs are 40 KiB."""

DEVICES = "/v2/devices"


class _Rest(Convertor[str]):
    """The rest of the path whatever it holds, slashes and line ends too."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("rest", _Rest())


def public_api(*, authenticate: Authenticate, registry: Registry) -> FastAPI:
    """The calls of the app, behind the gateway."""
    app = http_api("Spacehub devices", authenticate=authenticate)

    @app.post(
        DEVICES,
        response_model=DeviceBody,
        responses={
            201: {"model": DeviceBody, "description": "Registered to the caller for the first time"},
            **documented(400, 401, 413, 415, 422, 503),
        },
        response_description="Known already, and seen now",
    )
    async def register_device(body: RegistrationBody, caller: CurrentCaller, response: Response) -> Device:
        """Make the device the caller's, whoever had it before, and note that it was seen."""
        says_label = "device_label" in body.model_fields_set
        registration = Registration(body.token, body.platform, body.device_label, says_label)
        device, is_new = await register(registration, user_id=caller.user_id, registry=registry)
        response.status_code = 201 if is_new else 200
        return device

    @app.get(
        DEVICES,
        response_model=list[DeviceBody],
        responses=documented(401, 503),
        response_description="The caller's devices, oldest first",
    )
    async def list_devices(caller: CurrentCaller) -> list[Device]:
        """The caller's devices."""
        return await registry.devices_of(caller.user_id)

    @app.delete(
        DEVICES + "/{token:rest}",
        status_code=204,
        responses=documented(401, 404, 503),
        response_description="The device is not the caller's, whether or not it was",
    )
    async def unregister_device(
        request: Request,
        token: Annotated[str, Path(description="FCM's token, percent-encoded as one segment: a slash is %2F")],
        caller: CurrentCaller,
    ) -> None:
        """Take the device from the caller. It need not be there; another user's stays untouched."""
        exact = _token_in(request.scope["raw_path"])
        if exact is not None:
            await registry.remove(exact, user_id=caller.user_id)

    return app


def internal_api(*, authenticate: Authenticate, registry: Registry) -> FastAPI:
    """The call of push-sender, on a port that the gateway does not lead to."""
    app = http_api("Spacehub devices, internal", authenticate=authenticate, largest_body=LARGEST_QUESTION)

    @app.post(
        "/internal/devices/resolve",
        response_model=AnswerBody,
        responses=documented(400, 401, 413, 415, 422, 503),
        response_description="The addresses at the moment `resolvedAt`",
    )
    async def resolve_devices(body: QuestionBody) -> Response:
        """Where these users can be reached at this moment."""
        resolved = await resolve(body.user_ids, registry=registry)
        answer = AnswerBody.model_validate(resolved)
        return Response(answer.model_dump_json(by_alias=True), media_type="application/json")

    return app


def _token_in(raw_path: bytes) -> str | None:
    """The token at the end of a path as it came. None when its bytes are not UTF-8: no token is like that.

    The path that frameworks decode has lost such bytes, and one token could stand for another. Raises Problem.
    """
    prefix, _, token = raw_path.partition(DEVICES.encode() + b"/")
    if prefix or not token:
        raise Problem(404)
    try:
        return unquote_to_bytes(token).decode()
    except UnicodeDecodeError:
        return None
