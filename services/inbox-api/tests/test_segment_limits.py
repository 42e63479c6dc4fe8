"""No SMS takes more segments than the table in docs/texts.md allows, also with the longest values that are real."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from inbox_api.testing import OWNER, announcement, bill, expiring, otp, overdue, payment
from inbox_api.texts import FOLDER, LOCALES, render
from spacehub.events import facts
from spacehub.events.facts import Fact, Locale
from spacehub.segments import size_of

PAGE = Path(__file__).parents[3] / "docs" / "texts.md"
MOST = 999_999_999
MONTHS = [f"2026-{number:02}" for number in range(1, 13)]
PROPERTY, UNIT = "Чингис хааны өргөн чөлөө, Их Монгол хороолол", "108-р байр, 1204 т"

LONG: dict[str, list[Fact]] = {
    "otp.requested": [otp(code="48291377", expires_in=3600)],
    "bill.issued": [bill(month=month, amount=MOST) for month in MONTHS],
    "payment.confirmed": [payment(amount=MOST)],
    "bill.overdue": [overdue(amount=MOST)],
    "contract.expiring": [expiring(property=PROPERTY, unit=UNIT)],
    "sms_budget.threshold_reached": [
        facts.SmsBudgetThresholdReached(owner_id=OWNER, month=month, level=100, used=1_000_000, limit=1_000_000)
        for month in MONTHS
    ],
}


def limits() -> dict[str, dict[str, int]]:
    """The table: the most segments of each type in each locale."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\d+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: {"mn": int(mn), "en": int(en)} for name, mn, en in rows}


def templates(locale: Locale) -> Iterator[str]:
    """The type of every message in the Fluent file of `locale`."""
    for name in re.findall(r"^([a-z_-]+) =", (FOLDER / f"{locale}.ftl").read_text(encoding="utf-8"), re.MULTILINE):
        yield name.replace("-", ".", 1)


@pytest.mark.parametrize("locale", LOCALES)
def test_table_has_a_limit_for_every_text_and_the_test_has_values(locale: Locale) -> None:
    assert set(templates(locale)) == set(limits()) == set(LONG)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", LONG)
def test_long_values_stay_within_the_limit(name: str, locale: Locale) -> None:
    sizes = [size_of(render(fact, locale).sms) for fact in LONG[name]]

    assert max(size.segments for size in sizes) <= limits()[name][locale], sizes


@pytest.mark.parametrize("locale", LOCALES)
def test_contract_is_told_in_one_segment_up_to_the_length_that_the_page_states(locale: Locale) -> None:
    stated = re.search(r"while property and unit have (\d+) characters", PAGE.read_text(encoding="utf-8"))
    assert stated is not None
    room = int(stated[1])

    def segments(length: int) -> int:
        return size_of(render(expiring(property="З" * (length - 4), unit="1201"), locale).sms).segments

    assert (segments(room), segments(room + 1)) == (1, 2)


def test_longest_text_of_another_domain_costs_what_the_page_states() -> None:
    gsm, ucs = (size_of(render(announcement(body=letter * 500), "mn").sms).segments for letter in "aж")

    assert f"are {gsm} segments in GSM-7 and {ucs} in UCS-2" in PAGE.read_text(encoding="utf-8")
