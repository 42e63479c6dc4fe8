"""Whether what a dead letter speaks of was closed since it died: asked of inbox-api, which knows it of all."""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import httpx
import typer
from pydantic import SecretStr

from spacehub.auth.signing import Signer
from spacehub.cli.connecting import running_here
from spacehub.cli.token import SIGNER
from spacehub.dead_letters import Closed
from spacehub.errors import Away
from spacehub.events.catalogue import REQUESTS
from spacehub.events.envelope import Event

ApiUrl = Annotated[
    str | None,
    typer.Option(envvar="SPACEHUB_API_URL", help="The public API, to be asked what was withdrawn."),
]
OpsToken = Annotated[
    str | None,
    typer.Option(envvar="SPACEHUB_OPS_TOKEN", help="A token with the scope ops, for the API."),
]

_NOBODY = UUID(int=0)
_PATIENCE = 10.0


def closed_by_now(api_url: str | None, token: str | None, *, in_development: bool) -> Closed | None:
    """Asks the API of each request whether it was withdrawn; None where there is no API to ask.

    `in_development` allows the system that runs here.
    """
    if not (api_url and token) and in_development:
        api_url, token = _running_system()
    if not (api_url and token):
        return None
    url, bearer = f"{api_url.rstrip('/')}/v2/ops/deliveries", SecretStr(token)

    async def closed(event: Event) -> bool:
        if not isinstance(event.data, REQUESTS):
            return False  # an event: inbox-api sees for itself what is closed when it comes
        return await _is_closed(f"{url}/{event.id}", bearer)

    return closed


async def _is_closed(url: str, token: SecretStr) -> bool:
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
            answer = await client.get(url, headers=headers)
    except httpx.HTTPError as fault:
        raise Away(f"inbox-api: {type(fault).__name__}") from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        return False
    if answer.status_code != httpx.codes.OK:
        raise Away(f"inbox-api: it answered {answer.status_code}")
    return answer.json().get("closedAt") is not None


def _running_system() -> tuple[str | None, str | None]:
    here = running_here()
    signer = SIGNER if SIGNER.exists() else Path(sys.prefix).parent / SIGNER
    if "api_url" not in here or not signer.exists():
        return None, None
    return str(here["api_url"]), Signer.read(signer).token(_NOBODY, scopes=("ops",))
