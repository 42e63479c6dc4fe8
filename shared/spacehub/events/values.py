"""The values that the fields of events are made of: ids, amounts, days, moments, each checked when it is read."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

Identifier = Annotated[str, Field(min_length=1, max_length=64)]
"""An id that another domain made: 1 to 64 characters."""

Amount = Annotated[int, Field(ge=0, le=10**15)]
"""Whole tögrög."""

Phone = Annotated[str, Field(min_length=1, max_length=64)]
"""A phone number as somebody wrote it; whether it can receive an SMS is judged by the one who sends."""


_MONTH = r"[0-9]{4}-(0[1-9]|1[0-2])"


def _month(value: str) -> str:
    if not re.fullmatch(_MONTH, value):
        raise ValueError("should be a month such as 2026-11")
    return value


Month = Annotated[str, AfterValidator(_month), Field(json_schema_extra={"pattern": f"^{_MONTH}$"})]
"""A calendar month, `2026-11`."""


def _iso_date(value: object) -> object:
    if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        return value
    raise ValueError("should be a date such as 2026-12-05")


Day = Annotated[date, Field(strict=False), BeforeValidator(_iso_date)]
"""A calendar day, `2026-12-05`. The parser alone would take seconds since 1970 too, when written as text."""


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", value)):
        return value
    raise ValueError("should be a time such as 2026-11-23T09:00:00+08:00")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("should lie within the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_rfc3339), AfterValidator(_in_utc)]
"""A point in time with its zone (RFC 3339), kept in UTC."""
