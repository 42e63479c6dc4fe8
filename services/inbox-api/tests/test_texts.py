"""What people read, to the letter, in both locales."""

from datetime import date

import pytest
from fluent.syntax import FluentParser, ast
from inbox_api.notices import CHANNELS
from inbox_api.testing import OWNER, announcement, bill, expiring, otp, overdue, payment
from inbox_api.texts import FOLDER, LOCALES, NoText, Text, render
from spacehub.events import facts
from spacehub.events.facts import Fact, Locale

THRESHOLD = facts.SmsBudgetThresholdReached(owner_id=OWNER, month="2026-11", level=80, used=4_000, limit=5_000)

EXPECTED = [
    (
        otp(),
        "mn",
        "Spacehub код: 482913. 5 мин дотор оруулна уу.",
        "Нэг удаагийн код",
    ),
    (
        otp(),
        "en",
        "Spacehub code: 482913. Enter it within 5 min.",
        "One-time code",
    ),
    (
        expiring(),
        "mn",
        "Таны Зайсан Плаза 1201 тооцоо 2026-11-27-нд дуусна.",
        "Гэрээний хугацаа дуусах нь",
    ),
    (
        expiring(),
        "en",
        "Your Зайсан Плаза 1201 contract ends on 2026-11-27.",
        "Contract ending soon",
    ),
    (
        bill(),
        "mn",
        "11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.",
        "Шинэ төлбөр",
    ),
    (
        bill(),
        "en",
        "November bill: ₮1,250,000. Please pay by 2026-12-05.",
        "New bill",
    ),
    (
        payment(),
        "mn",
        "Төлбөр ₮1,250,000 хүлээн авлаа. Баярлалаа.",
        "Төлбөр төлөгдлөө",
    ),
    (
        payment(),
        "en",
        "Payment of ₮1,250,000 received. Thank you.",
        "Payment received",
    ),
    (
        overdue(),
        "mn",
        "Төлбөрийн хугацаа хэтэрсэн: ₮98,500.",
        "Төлбөрийн хугацаа хэтэрлээ",
    ),
    (
        overdue(),
        "en",
        "Payment overdue: ₮98,500.",
        "Payment overdue",
    ),
    (
        THRESHOLD,
        "mn",
        "11-р сарын SMS төсвийн 80% ашиглагдлаа: 4,000/5,000.",
        "SMS төсөв 80%",
    ),
    (
        THRESHOLD,
        "en",
        "November SMS budget: 80% used, 4,000 of 5,000.",
        "SMS budget at 80%",
    ),
]


@pytest.mark.parametrize(("fact", "locale", "sentence", "title"), EXPECTED)
def test_each_type_says_its_sentence_by_every_channel(fact: Fact, locale: Locale, sentence: str, title: str) -> None:
    assert render(fact, locale) == Text(sms=sentence, title=title, body=sentence)


def test_every_type_with_a_text_of_ours_is_expected_in_every_locale() -> None:
    assert {(type(fact), locale) for fact, locale, _, _ in EXPECTED} == {
        (kind, locale) for kind in CHANNELS for locale in LOCALES
    }


@pytest.mark.parametrize("locale", LOCALES)
def test_requested_notification_says_what_it_brought(locale: Locale) -> None:
    asked = announcement(title="{ $x } title", body="line\nline { bill-issued }")

    assert render(asked, locale) == Text(
        sms="line\nline { bill-issued }", title="{ $x } title", body="line\nline { bill-issued }"
    )


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(1, 1), (59, 1), (60, 1), (119, 1), (120, 2), (300, 5), (359, 5), (86_400, 1440)]
)
def test_minutes_of_a_code_are_whole_and_never_promise_too_much_beyond_one(seconds: int, minutes: int) -> None:
    assert render(otp(expires_in=seconds), "mn").sms == f"Spacehub код: 482913. {minutes} мин дотор оруулна уу."
    assert render(otp(expires_in=seconds), "en").sms == f"Spacehub code: 482913. Enter it within {minutes} min."


@pytest.mark.parametrize(
    ("month", "mn", "en"),
    [("2027-01", "1-р сарын", "January"), ("2026-09", "9-р сарын", "September"), ("2026-12", "12-р сарын", "December")],
)
def test_months_are_named_as_each_language_names_them(month: str, mn: str, en: str) -> None:
    issued = bill(month=month)

    assert render(issued, "mn").sms.startswith(f"{mn} төлбөр: ")
    assert render(issued, "en").sms.startswith(f"{en} bill: ")


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "₮0"), (999, "₮999"), (1_000, "₮1,000"), (10**15, "₮1,000,000,000,000,000")]
)
@pytest.mark.parametrize("locale", LOCALES)
def test_amounts_are_grouped_by_commas_in_every_locale(amount: int, shown: str, locale: Locale) -> None:
    assert f" {shown}." in render(overdue(amount=amount), locale).sms


@pytest.mark.parametrize("name", ["{ $amount }", '{ "x" }', '"Хан" -term .sms', "a = b", "[*] # \\u0041 {", "𝔘 ₮ 🏠"])
def test_names_come_through_as_they_are(name: str) -> None:
    lease = expiring(property=name, unit="}{")

    assert render(lease, "en").sms == f"Your {name} }}{{ contract ends on 2026-11-27."


def test_line_breaks_in_a_name_become_one_space() -> None:
    lease = expiring(property=" Зайсан\r\n\tПлаза\u2028А ", unit="12\n01")

    assert render(lease, "mn").sms == "Таны Зайсан Плаза А 12 01 тооцоо 2026-11-27-нд дуусна."


def test_early_dates_keep_their_four_digits() -> None:
    assert render(expiring(ends_on=date(1, 2, 3)), "en").sms.endswith("ends on 0001-02-03.")


def test_type_without_a_text_is_told_by_name() -> None:
    with pytest.raises(NoText, match=r"^user\.deleted has no text in mn$"):
        render(facts.UserDeleted(user_id=OWNER), "mn")


def test_locales_have_the_same_messages_with_the_same_attributes_and_nothing_else() -> None:
    shapes = {locale: _shape(locale) for locale in LOCALES}

    assert shapes["mn"] == shapes["en"]
    assert {kind.type.replace(".", "-") for kind in CHANNELS} == set(shapes["mn"])
    assert set(shapes["mn"].values()) == {("sms", "title")}


@pytest.mark.parametrize("locale", LOCALES)
def test_messages_hold_words_and_values_and_nothing_that_depends_on_a_value(locale: Locale) -> None:
    patterns = [
        pattern
        for message in _messages(locale)
        for pattern in (message.value, *(part.value for part in message.attributes))
        if pattern is not None
    ]
    expressions = [
        element.expression for pattern in patterns for element in pattern.elements if isinstance(element, ast.Placeable)
    ]

    assert {type(expression) for expression in expressions} == {ast.VariableReference, ast.MessageReference}


def test_locales_bring_their_values_in_the_same_order() -> None:
    assert _values_in_order("mn") == _values_in_order("en")


def _messages(locale: Locale) -> list[ast.Message]:
    parsed = FluentParser().parse((FOLDER / f"{locale}.ftl").read_text(encoding="utf-8"))
    assert not any(isinstance(entry, ast.Junk) for entry in parsed.body)
    return [entry for entry in parsed.body if isinstance(entry, ast.Message)]


def _shape(locale: Locale) -> dict[str, tuple[str, ...]]:
    messages = _messages(locale)
    assert len({message.id.name for message in messages}) == len(messages)
    return {message.id.name: tuple(sorted(part.id.name for part in message.attributes)) for message in messages}


def _values_in_order(locale: Locale) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for message in _messages(locale):
        assert message.value is not None
        values[message.id.name] = [
            element.expression.id.name.replace("_name", "").replace("_number", "")
            for element in message.value.elements
            if isinstance(element, ast.Placeable) and isinstance(element.expression, ast.VariableReference)
        ]
    return values
