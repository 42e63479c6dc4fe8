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

_MARK = "\ue000"
_Template = tuple[str, ...]
"""A message as Fluent gives it with the values left open: words, the name of a value, words, and so on.

Fluent is asked once for each message; asked each time it took a third of what notifying costs. So messages hold words,
values and other messages, and nothing that depends on a value.
"""

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
    values = _values(fact, locale)
    sms, title, body = _templates(locale, fact.type, tuple(values))
    return Text(sms=_filled(sms, values), title=_filled(title, values), body=_filled(body, values))


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
            return {}


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


def _filled(template: _Template, values: Mapping[str, str]) -> str:
    return "".join([values[part] if place % 2 else part for place, part in enumerate(template)])


@cache
def _templates(locale: Locale, event_type: str, names: tuple[str, ...]) -> tuple[_Template, _Template, _Template]:
    """The SMS, title and body of a type, for values of these names."""
    bundle = _bundle(locale)
    key = event_type.replace(".", "-")
    if not bundle.has_message(key):
        raise NoText(f"{event_type} has no text in {locale}")
    message = bundle.get_message(key)
    patterns = (message.attributes["sms"], message.attributes["title"], message.value)
    sms, title, body = (_template(bundle, pattern, names) for pattern in patterns)
    return sms, title, body


def _template(bundle: FluentBundle, pattern: Any, names: tuple[str, ...]) -> _Template:
    text, errors = bundle.format_pattern(pattern, {name: f"{_MARK}{name}{_MARK}" for name in names})
    if errors:
        raise NoText(f"{type(errors[0]).__name__} in a message of {bundle.locales[0]}")
    return tuple(str(text).split(_MARK))


@cache
def _bundle(locale: Locale) -> FluentBundle:
    bundle = FluentBundle([locale], use_isolating=False)
    bundle.add_resource(FluentResource((FOLDER / f"{locale}.ftl").read_text(encoding="utf-8")))
    return bundle


@cache
def _month_names(locale: Locale) -> Mapping[int, str]:
    return get_month_names("wide", context="stand-alone", locale=locale)
