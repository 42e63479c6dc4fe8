"""Quiet hours: when a message that may wait is allowed to go out."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

ULAANBAATAR = ZoneInfo("Asia/Ulaanbaatar")
"""The time zone of every rule about hours and dates."""

OFF = "off"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily window of local time, `start` inclusive, `end` exclusive; it may reach across midnight."""

    start: time
    end: time


def parse(setting: str) -> QuietHours | None:
    """The window written as `HH:MM-HH:MM`; None for `off`. Raises ValueError, which says what is wrong."""
    text = setting.strip()
    if text.lower() == OFF:
        return None
    if not (found := re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text, re.ASCII)):
        raise ValueError(f"quiet hours should be a window such as 22:00-08:00, or off, not {setting!r}")
    hours = [int(number) for number in found.groups()]
    start, end = time(hours[0], hours[1]), time(hours[2], hours[3])
    if start == end:
        raise ValueError(f"quiet hours should not begin and end at the same time ({setting!r}); off turns them off")
    return QuietHours(start, end)


def may_go(now: datetime, window: QuietHours | None) -> datetime:
    """When a message that may wait can go: `now` itself, or the end of the quiet hours that `now` falls into.

    `now` needs a time zone.
    """
    if window is None:
        return now
    local = now.astimezone(ULAANBAATAR)
    clock = local.time()
    if window.start < window.end:
        is_quiet, ends_tomorrow = window.start <= clock < window.end, False
    else:
        is_quiet, ends_tomorrow = clock >= window.start or clock < window.end, clock >= window.start
    if not is_quiet:
        return now
    day = local.date() + timedelta(days=1) if ends_tomorrow else local.date()
    return datetime.combine(day, window.end, ULAANBAATAR)
