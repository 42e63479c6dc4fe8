"""The JSON of the calls for operations, in camelCase. The driver's UUIDs are not quite UUIDs: `default=str`."""

from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from spacehub.events.facts import Channel, Locale

from inbox_api.deliveries import Status
from inbox_api.reasons import meaning_of
from inbox_api.records import Page, Record
from inbox_api.timelines import Entry, Step, timeline


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class EntryBody(_Body):
    """One step of a delivery's way; what does not belong to a step is left out. `meaning` puts `reason` into words."""

    model_config = ConfigDict(title="TimelineEntry")

    at: datetime
    step: Step
    reason: str | None = None
    meaning: str | None = None
    status: Status | None = None
    until: datetime | None = None
    locale: Locale | None = None
    number: int | None = None
    outcome: str | None = None
    duration_ms: int | None = None
    devices_reached: int | None = None
    devices_dead: int | None = None
    event_id: str | None = None
    event_type: str | None = None


class DeliveryBody(_Body):
    """What became of one event for one user on one channel. `timeline` runs from the event to the end.

    `closedAt`: when what it speaks of was paid, cancelled or ended, or its user deleted, be it sent or not.
    """

    model_config = ConfigDict(title="Delivery")

    id: UUID
    event_id: str
    source: str
    type: str
    channel: Channel
    user_id: UUID | None
    owner_id: UUID | None
    subject: str | None
    critical: bool
    locale: Locale
    phone_last4: str | None
    status: Status
    reason: str | None
    meaning: str | None
    occurred_at: datetime | None
    created_at: datetime
    available_at: datetime | None
    expires_at: datetime
    ended_at: datetime | None
    read_at: datetime | None
    closed_at: datetime | None
    message_id: str | None
    segments: int | None
    attempts: int | None
    duration_ms: int | None
    devices_reached: int | None
    devices_dead: int | None
    timeline: list[EntryBody]


class DeliveriesBody(_Body):
    """Deliveries, newest first. Without `nextCursor` there are no more."""

    model_config = ConfigDict(title="Deliveries")

    items: list[DeliveryBody]
    next_cursor: str | None


_ENTRY = {field.name: to_camel(field.name) for field in fields(Entry)}
_PLAIN = {name: to_camel(name) for name in DeliveryBody.model_fields if name not in ("meaning", "timeline")}


def delivery_json(record: Record) -> bytes:
    """One delivery as `DeliveryBody` describes it."""
    return orjson.dumps(_delivery(record), option=orjson.OPT_UTC_Z, default=str)


def deliveries_json(page: Page) -> bytes:
    """A page as `DeliveriesBody` describes it."""
    answer = {"items": [_delivery(record) for record in page.records], "nextCursor": page.next_cursor}
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z, default=str)


def _delivery(record: Record) -> dict[str, Any]:
    told = {shown: getattr(record, name) for name, shown in _PLAIN.items()}
    return {**told, "meaning": meaning_of(record.reason), "timeline": [_entry(entry) for entry in timeline(record)]}


def _entry(entry: Entry) -> dict[str, Any]:
    told = {shown: value for name, shown in _ENTRY.items() if (value := getattr(entry, name)) is not None}
    if meaning := meaning_of(entry.reason):
        told["meaning"] = meaning
    return told
