"""What people read: every event's SMS, title and body in each locale, from the Fluent files in `locales/`.

One message per event type, named like the type with a dash for the dot: its value is the body, `.title` and `.sms` are
attributes. Values reach a message only as arguments, so nothing in a name is ever read as Fluent syntax.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, get_args

from babel.dates import get_month_names
from fluent.runtime import FluentBundle, FluentResource
from spacehub.events import facts
from spacehub.events.facts import Fact, Locale

DEFAULT_LOCALE: Locale = "mn"
LOCALES: tuple[Locale, ...] = get_args(Locale)
FOLDER = Path(__file__).parent / "locales"


class NoText(Exception):
    """A locale lacks a message or a value of it: the Fluent files and this module disagree."""


@dataclass(frozen=True, slots=True)
class Text:
    """What one event says in one locale."""

    sms: str
    title: str
    body: str


def render(fact: Fact, locale: Locale) -> Text:
    """What `fact` says in `locale`; a requested notification says what it brought in any. Raises NoText."""
    if isinstance(fact, facts.NotificationRequested):
        return Text(sms=fact.body, title=fact.title, body=fact.body)
    bundle, message = _message(locale, fact.type)
    values = _values(fact, locale)
    return Text(
        sms=_format(bundle, message.attributes["sms"], values),
        title=_format(bundle, message.attributes["title"], values),
        body=_format(bundle, message.value, values),
    )


def _values(fact: Fact, locale: Locale) -> dict[str, str]:
    match fact:
        case facts.OtpRequested():
            return {"code": fact.code, "minutes": str(max(1, fact.expires_in // 60))}
        case facts.BillIssued():
            return {**_month(fact.month, locale), "amount": _amount(fact.amount), "due_date": _date(fact.due_date)}
        case facts.PaymentConfirmed() | facts.BillOverdue():
            return {"amount": _amount(fact.amount)}
        case facts.ContractExpiring():
            return {"property": _line(fact.property), "unit": _line(fact.unit), "date": _date(fact.ends_on)}
        case facts.SmsBudgetThresholdReached():
            counts = {"level": str(fact.level), "used": f"{fact.used:,}", "limit": f"{fact.limit:,}"}
            return {**_month(fact.month, locale), **counts}
        case _:
            raise NoText(f"{fact.type} has no text")


def _month(month: str, locale: Locale) -> dict[str, str]:
    number = int(month.partition("-")[2])
    return {"month_number": str(number), "month_name": _month_names(locale)[number]}


def _amount(amount: int) -> str:
    """Grouped by commas in every locale: the contract fixes it, so the locale's own rules have no say."""
    return f"{amount:,}"


def _date(day: date) -> str:
    return day.isoformat()


def _line(value: str) -> str:
    """A name on one line: line breaks and runs of blanks become one space, since it stands inside a sentence."""
    return " ".join(value.split())


def _format(bundle: FluentBundle, pattern: Any, values: dict[str, str]) -> str:
    text, errors = bundle.format_pattern(pattern, values)
    if errors:
        raise NoText(f"{type(errors[0]).__name__} in a message of {bundle.locales[0]}")
    return str(text)


@cache
def _message(locale: Locale, event_type: str) -> tuple[FluentBundle, Any]:
    bundle = _bundle(locale)
    key = event_type.replace(".", "-")
    if not bundle.has_message(key):
        raise NoText(f"{event_type} has no text in {locale}")
    return bundle, bundle.get_message(key)


@cache
def _bundle(locale: Locale) -> FluentBundle:
    bundle = FluentBundle([locale], use_isolating=False)
    bundle.add_resource(FluentResource((FOLDER / f"{locale}.ftl").read_text(encoding="utf-8")))
    return bundle


@cache
def _month_names(locale: Locale) -> Mapping[int, str]:
    return get_month_names("wide", context="stand-alone", locale=locale)
