"""A number is read however it is spelled, and nothing but a Mongolian mobile number is ever texted."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sms_sender.fates import Refused
from sms_sender.phone import InvalidPhone, mobile_number

FACTS = re.compile(r"(5[05]|6[069]|7[28]|8[0135689]|9[013-9])[0-9]{6}|(87[01]|92[0139])[0-9]{5}")
"""Mongolian mobile numbers as the project's facts state them."""

SEPARATORS = " -.()[]\t\u00a0\u2009\u202f\u3000\u2010\u2011\u2012\u2013\u2212\uff0d\uff0e\u200b\u200e\u202c\u2060\ufeff"


def refused(raw: str) -> bool:
    try:
        mobile_number(raw)
    except InvalidPhone:
        return True
    return False


@pytest.mark.parametrize(
    "raw",
    [
        "99112233",
        "97699112233",
        "+97699112233",
        "0097699112233",
        "099112233",
        "9911 2233",
        "9911-2233",
        "99.11.22.33",
        "+976 9911 2233",
        "+976-9911-2233",
        "(+976) 9911-2233",
        "(976) 99 11 22 33",
        "00 976 9911 2233",
        "[976] 9911.2233",
        " 99112233\n",
        "+976\u00a09911\u202f2233",
        "\u200e+976 9911\u20112233\u202c",
        "＋９７６　９９１１－２２３３",  # full-width on purpose
    ],
)
def test_spelling_is_read(raw: str) -> None:
    assert mobile_number(raw) == "97699112233"


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "+",
        "9911223",
        "991122334",
        "976991122334",
        "+99112233",  # a leading + without the country code is another country's number
        "0099112233",
        "00099112233",
        "++97699112233",
        "97697699112233",
        "9911+2233",
        "+8613800138000",
        "+14155552671",
        "+97799112233",
        "99112233, 88112233",
        "99112233/88112233",
        "99112233 ext 5",
        "tel:+97699112233",
        "9911223З",  # the Cyrillic letter Ze
        "9911223O",
        "9911223²",
        "٩٩١١٢٢٣٣",
        "99112233\x00",
        "99112233\ud83d",
    ],
)
def test_anything_else_is_refused(raw: str) -> None:
    assert refused(raw)


@pytest.mark.parametrize("prefix", ["70", "71", "75", "76", "77", "79"])
def test_fixed_and_voip_lines_are_refused(prefix: str) -> None:
    assert refused(f"{prefix}112233")


@pytest.mark.parametrize("raw", ["11123456", "53123456", "127123456", "112233445", "1900", "105"])
def test_lines_that_receive_no_texts_are_refused(raw: str) -> None:
    assert refused(raw)


def test_every_prefix_is_judged_as_the_facts_say() -> None:
    for prefix in range(1000):
        number = f"{prefix:03}12345"

        assert refused(number) == (FACTS.fullmatch(number) is None), number


def test_refusal_names_its_reason_and_no_number() -> None:
    with pytest.raises(Refused) as refusal:
        mobile_number("70112233")

    assert refusal.value.reason == "invalid_phone"
    assert "70112233" not in repr(refusal.value)


@settings(deadline=None)
@given(
    national=st.from_regex(FACTS, fullmatch=True),
    prefix=st.sampled_from(["", "0", "976", "+976", "00976", "0976"]),
    noise=st.lists(st.text(SEPARATORS, max_size=2), min_size=15, max_size=15),
    wide=st.booleans(),
)
def test_every_spelling_of_a_number_gives_the_same(national: str, prefix: str, noise: list[str], wide: bool) -> None:
    spelled = "".join(before + character for before, character in zip(noise, prefix + national, strict=False))
    if wide:
        spelled = "".join(
            chr(ord(character) + 0xFEE0) if character in "+0123456789" else character for character in spelled
        )

    assert mobile_number(spelled) == f"976{national}"


@settings(deadline=None)
@given(st.text(max_size=30))
def test_whatever_is_accepted_is_a_mobile_number(raw: str) -> None:
    if not refused(raw):
        assert FACTS.fullmatch(mobile_number(raw).removeprefix("976"))
