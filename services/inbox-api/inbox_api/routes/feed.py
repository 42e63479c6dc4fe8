"""The calls of the app that show a user's feed, page by page and as a stream."""

import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Header, Path, Query, Response
from spacehub.auth.guard import CurrentCaller
from spacehub.direct_routes import direct_get
from spacehub.problems import Problem, documented

from inbox_api import event_stream, positions, reading
from inbox_api.event_stream import EventStream
from inbox_api.positions import NotAPosition
from inbox_api.reading import NoSuchNotification
from inbox_api.shapes import (
    PageAsked,
    PageBody,
    UnreadBody,
    UpdatedBody,
    notification_json,
    page_json,
)
from inbox_api.streaming import NoRoom, Stream, Streams, TooManyStreams

FEED = "/v2/notifications"

PATIENCE = 30.0
"""Seconds that a stream's client may take for one portion."""
BACK_IN_MS = range(1000, 5000)
"""When clients of a stream that ended come back, spread so that a restart is not followed by a rush."""

Clock = Callable[[], datetime]


def add_feed(app: FastAPI, *, feeds: reading.Feeds, clock: Clock) -> None:
    """Add the calls for the feed to `app`."""

    @direct_get(
        app,
        FEED,
        responses={200: {"model": PageBody}, **documented(400, 401, 422, 503)},
        response_description="A page of the feed, newest first",
    )
    async def list_notifications(caller: CurrentCaller, asked: Annotated[PageAsked, Query()]) -> Response:
        """The caller's feed page by page. While rows arrive, pages neither repeat nor skip one."""
        try:
            page = await reading.page(caller.user_id, cursor=asked.cursor, limit=asked.limit, feeds=feeds)
        except NotAPosition:
            raise Problem(400, "The cursor is not one that this feed gave out.") from None
        return Response(page_json(page), media_type="application/json")

    @app.get(FEED + "/unread-count", response_model=UnreadBody, responses=documented(401, 503))
    async def count_unread(caller: CurrentCaller) -> UnreadBody:
        """How many rows of the caller's feed are unread: the badge."""
        return UnreadBody(unread_count=await feeds.unread(caller.user_id))

    @app.post(FEED + "/read-all", response_model=UpdatedBody, responses=documented(401, 503))
    async def read_all_notifications(caller: CurrentCaller) -> UpdatedBody:
        """Note that the caller read everything there is by now."""
        return UpdatedBody(updated=await reading.read_all(caller.user_id, feeds=feeds, clock=clock))

    @app.post(
        FEED + "/{id}/read",
        status_code=204,
        responses=documented(401, 404, 503),
        response_description="The row is read, whether or not it was",
    )
    async def read_notification(
        id: Annotated[str, Path(json_schema_extra={"format": "uuid"})], caller: CurrentCaller
    ) -> None:
        """Note that the caller read one row. 404 for a row that is not the caller's."""
        try:
            await reading.read(caller.user_id, UUID(id), feeds=feeds, clock=clock)
        except (ValueError, NoSuchNotification):
            raise Problem(404, "There is no such notification of yours.") from None


def add_stream(app: FastAPI, *, streams: Streams) -> None:
    """Add the stream of the feed to `app`."""

    @app.get(
        FEED + "/stream",
        status_code=200,
        response_class=EventStream,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **documented(400, 401, 429, 503),
        },
        response_description="An event `notification` for each new row, which is its data; comments are heartbeats",
    )
    async def stream_notifications(
        caller: CurrentCaller,
        last_event_id: Annotated[str, Header(description="The last `id` that was seen; what came after follows")] = "",
    ) -> Response:
        """New rows as they appear. It ends with the token, and whenever it likes: open it again with Last-Event-ID."""
        try:
            stream = await streams.open(caller.user_id, after=last_event_id, until=caller.until)
        except NotAPosition:
            raise Problem(400, "Last-Event-ID is not one that this feed gave out.") from None
        except TooManyStreams:
            raise Problem(429, "Too many streams of yours are open.", headers={"Retry-After": "15"}) from None
        except NoRoom:
            raise Problem(503, "Please try again in a moment.", headers={"Retry-After": "1"}) from None
        return EventStream(_events(stream), patience=PATIENCE, finished=stream.close)


async def _events(stream: Stream) -> AsyncIterator[bytes]:
    user = stream.user_id
    yield event_stream.opening(id=positions.written(stream.seq, of=user), retry_ms=random.choice(BACK_IN_MS))  # noqa: S311
    async for rows in stream.portions():
        told = (
            event_stream.event("notification", id=positions.written(row.seq, of=user), data=notification_json(row))
            for row in rows
        )
        yield b"".join(told) or event_stream.HEARTBEAT
