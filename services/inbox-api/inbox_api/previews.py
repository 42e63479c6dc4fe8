"""Previews: what an event would say on each channel and in each language, and what it would cost, without saying it."""

from collections.abc import Iterator
from dataclasses import dataclass

from spacehub.events.envelope import Event
from spacehub.events.facts import Channel, Locale
from spacehub.segments import Size, size_of

from inbox_api.notices import ORDER, notice_of
from inbox_api.texts import LOCALES, Text, render


@dataclass(frozen=True, slots=True)
class Preview:
    """One channel in the languages that read alike. `size` is that of an SMS; inbox and push have a `title` instead."""

    channel: Channel
    locales: tuple[Locale, ...]
    title: str | None
    text: str
    size: Size | None


def previews(event: Event) -> list[Preview]:
    """What `event` says on each of its channels: in the languages that it names, else in every one. Nothing of an
    event that asks for nothing."""
    notice = notice_of(event.data)
    if notice is None:
        return []
    named = {to.locale for to in notice.addressees}
    locales = LOCALES if None in named else tuple(locale for locale in LOCALES if locale in named)
    texts = {locale: render(notice.fact, locale) for locale in locales}
    return [one for channel in ORDER if channel in notice.channels for one in _of_channel(channel, texts)]


def _of_channel(channel: Channel, texts: dict[Locale, Text]) -> Iterator[Preview]:
    alike: dict[tuple[str | None, str], list[Locale]] = {}
    for locale, text in texts.items():
        said = (None, text.sms) if channel == "sms" else (text.title, text.body)
        alike.setdefault(said, []).append(locale)
    for (title, body), locales in alike.items():
        yield Preview(channel, tuple(locales), title, body, size_of(body) if channel == "sms" else None)
