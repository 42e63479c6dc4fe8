"""The JSON that the calls take and give, in camelCase."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel
from spacehub.events.facts import Locale

from inbox_api.feeds import Item, Page


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class NotificationBody(_Body):
    """One row of the caller's feed."""

    model_config = ConfigDict(title="Notification")

    id: str
    type: str
    title: str
    body: str
    link: str | None
    created_at: datetime
    read_at: datetime | None


class PageAsked(BaseModel):
    """Which page of the feed."""

    cursor: Annotated[str, Field(description="`nextCursor` of the page before; empty: the newest rows")] = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class PageBody(_Body):
    """Rows, newest first. Without `nextCursor` there are no more; `unreadCount` is of the whole feed."""

    model_config = ConfigDict(title="Notifications")

    items: list[NotificationBody]
    next_cursor: str | None
    unread_count: int


class UnreadBody(_Body):
    """How many rows of the caller's feed are unread."""

    model_config = ConfigDict(title="UnreadCount")

    unread_count: int


class UpdatedBody(_Body):
    """How many rows were unread until now."""

    model_config = ConfigDict(title="Updated")

    updated: int


class PreferencesBody(_Body):
    """The language of texts, and whether messages that are not critical may come by SMS and by push."""

    model_config = ConfigDict(title="NotificationPreferences")

    locale: Locale
    sms: StrictBool
    push: StrictBool


def notification_json(item: Item) -> bytes:
    """One row as `NotificationBody` describes it."""
    return orjson.dumps(_notification(item), option=orjson.OPT_UTC_Z)


def page_json(page: Page) -> bytes:
    """A page as `PageBody` describes it."""
    items = [_notification(item) for item in page.items]
    answer = {"items": items, "nextCursor": page.next_cursor, "unreadCount": page.unread}
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)


def _notification(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "type": item.type,
        "title": item.title,
        "body": item.body,
        "link": item.link,
        "createdAt": item.created_at,
        "readAt": item.read_at,
    }
