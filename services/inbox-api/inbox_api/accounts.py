"""Accounts: the timeline of a delivery in plain words, as a person reads it on a terminal."""

from datetime import datetime

from spacehub.quiet_hours import ULAANBAATAR

from inbox_api.reasons import meaning_of
from inbox_api.records import Record
from inbox_api.timelines import AT_SENDER, Entry, timeline


def account(record: Record) -> str:
    """The delivery in a line, and its steps in a line each; times are Ulaanbaatar's."""
    return "\n".join([_heading(record), *map(_line, timeline(record))])


def _line(entry: Entry) -> str:
    return f"  {_time(entry.at)}  {entry.step.replace('_', ' '):<15}  {_told(entry)}".rstrip()


def _heading(record: Record) -> str:
    whom = f"user {record.user_id}" if record.user_id else "a phone without a user"
    phone = f" …{record.phone_last4}" if record.phone_last4 else ""
    critical = ", critical" if record.critical else ""
    standing = _and_why(record.status, record.reason)
    return f"{record.channel} {record.type} to {whom}{phone}{critical}: {standing}\n  delivery {record.id}"


def _told(entry: Entry) -> str:
    match entry.step:
        case "received" | "withdrawn":
            return f"{'by ' if entry.step == 'withdrawn' else ''}{entry.event_type or 'event'} {entry.event_id}"
        case "rendered":
            return f"in {entry.locale}"
        case "deferred":
            return f"until {_until(entry)}: {meaning_of(entry.reason)}"
        case "handed_on_again":
            return "nothing had been heard of it: its sender was asked again"
        case "attempted":
            return _attempt(entry)
        case "ended":
            return _and_why(str(entry.status), entry.reason)
        case "waiting":
            then = "without one it is looked at again" if entry.reason == AT_SENDER else "it goes"
            return f"{meaning_of(entry.reason)}" + (f"; {then} at {_until(entry)}" if entry.until else "")
        case _:
            return ""


def _attempt(entry: Entry) -> str:
    number = f"{entry.number}: " if entry.number is not None else ""
    took = f" after {entry.duration_ms} ms" if entry.duration_ms is not None else ""
    devices = (
        f"; devices reached {entry.devices_reached}, dead {entry.devices_dead}"
        if entry.devices_reached is not None
        else ""
    )
    return f"{number}{_and_why(str(entry.outcome) + took, entry.reason)}{devices}"


def _and_why(what: str, reason: str | None) -> str:
    if reason is None:
        return what
    meaning = meaning_of(reason)
    return f"{what}, {reason}" + (f": {meaning}" if meaning else "")


def _until(entry: Entry) -> str:
    return _time(entry.until) if entry.until else ""


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(ULAANBAATAR):%Y-%m-%d %H:%M:%S}"
