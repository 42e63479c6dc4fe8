"""The calls for operations: what became of deliveries, for those whose token has the scope `ops`."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Path, Query, Response
from pydantic import SecretStr
from spacehub.auth.guard import requires
from spacehub.auth.tokens import Caller
from spacehub.problems import Problem, documented

from inbox_api import tracing
from inbox_api.cursors import NotACursor
from inbox_api.deliveries import Status
from inbox_api.ops_shapes import DeliveriesBody, DeliveryBody, deliveries_json, delivery_json
from inbox_api.records import Search
from inbox_api.tracing import A_DIGIT, NothingAsked

DELIVERIES = "/v2/ops/deliveries"
SCOPE = "ops"

Operator = Annotated[Caller, Depends(requires(SCOPE))]
"""A route's parameter: a caller who may look into everybody's deliveries."""

_NO_NUL = r"^[^\x00]+$"
"""PostgreSQL text cannot hold U+0000, so no event is called so."""


def add_operations(app: FastAPI, *, records: tracing.Records, phone_key: SecretStr) -> None:
    """Add the calls for operations to `app`."""

    @app.get(
        DELIVERIES,
        responses={200: {"model": DeliveriesBody}, **documented(400, 401, 403, 422, 503)},
        response_description="A page of deliveries with their timelines, newest first",
    )
    async def list_deliveries(
        _: Operator,
        user_id: Annotated[UUID | None, Query(description="The user they are for")] = None,
        phone: Annotated[
            str | None,
            Query(
                max_length=64, pattern=A_DIGIT, description="The number they are for, in any spelling that is accepted"
            ),
        ] = None,
        event_id: Annotated[
            str | None, Query(max_length=255, pattern=_NO_NUL, description="The id of the event that caused them")
        ] = None,
        status: Annotated[Status | None, Query(description="How they stand")] = None,
        cursor: Annotated[str, Query(description="`nextCursor` of the page before; empty: the newest")] = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """The deliveries to which everything asked for applies, page by page; one thing has to be asked for at least.

        Of phone numbers the last four digits are shown. While deliveries are made, pages neither repeat nor skip one.
        """
        try:
            phone_hash = None if phone is None else tracing.hash_of(phone, key=phone_key)
            search = Search(user_id=user_id, phone_hash=phone_hash, event_id=event_id, status=status)
            page = await tracing.page(search, cursor=cursor, limit=limit, records=records)
        except NothingAsked:
            raise Problem(400, "Ask for user_id, phone, event_id or status.") from None
        except NotACursor:
            raise Problem(400, "The cursor is not one that was given out for this search.") from None
        return Response(deliveries_json(page), media_type="application/json")

    @app.get(
        DELIVERIES + "/{id}",
        responses={200: {"model": DeliveryBody}, **documented(401, 403, 404, 503)},
        response_description="The delivery with its timeline",
    )
    async def get_delivery(id: Annotated[str, Path(json_schema_extra={"format": "uuid"})], _: Operator) -> Response:
        """What became of one delivery, step by step."""
        try:
            record = await tracing.one(UUID(id), records=records)
        except ValueError:
            record = None
        if record is None:
            raise Problem(404, "There is no such delivery.")
        return Response(delivery_json(record), media_type="application/json")
