"""A text is counted as the carrier bills it."""

import reprlib

import pytest
from spacehub.segments import size_of


@pytest.mark.parametrize(
    ("text", "alphabet", "units", "segments"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("a" * 459, "GSM-7", 459, 3),
        ("a" * 460, "GSM-7", 460, 4),
        ("ж" * 70, "UCS-2", 70, 1),
        ("ж" * 71, "UCS-2", 71, 2),
        ("ж" * 134, "UCS-2", 134, 2),
        ("ж" * 135, "UCS-2", 135, 3),
        ("ж" * 201, "UCS-2", 201, 3),
        ("ж" * 202, "UCS-2", 202, 4),
        # one character outside GSM turns the whole text
        ("a" * 69 + "₮", "UCS-2", 70, 1),
        ("a" * 70 + "₮", "UCS-2", 71, 2),
        ("`", "UCS-2", 1, 1),
        ("ç", "UCS-2", 1, 1),
        ("Ç@£ΔΩ\n\r¡¿§ñ", "GSM-7", 11, 1),
        # two units each, never split
        ("€", "GSM-7", 2, 1),
        ("^{}\\[~]|€\f", "GSM-7", 20, 1),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        ("a" * 158 + "€", "GSM-7", 160, 1),
        ("a" * 159 + "€", "GSM-7", 161, 2),
        ("€" * 152, "GSM-7", 304, 2),
        ("€" * 153, "GSM-7", 306, 3),
        ("a" * 152 + "€" + "a" * 151, "GSM-7", 305, 2),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),
        ("a" * 151 + "{}" + "a" * 151, "GSM-7", 306, 2),
        ("[" + "a" * 304, "GSM-7", 306, 2),
        # surrogate pairs: two units of UCS-2, never split
        ("😀", "UCS-2", 2, 1),
        ("😀" * 35, "UCS-2", 70, 1),
        ("😀" * 36, "UCS-2", 72, 2),
        ("😀" * 66, "UCS-2", 132, 2),
        ("😀" * 67, "UCS-2", 134, 3),
        ("ж" * 66 + "😀" + "ж" * 65, "UCS-2", 133, 2),
        ("ж" * 66 + "😀" + "ж" * 66, "UCS-2", 134, 3),
        # in UCS-2 the extension characters are single
        ("ж" + "€" * 69, "UCS-2", 70, 1),
        ("\ud83d", "UCS-2", 1, 1),
    ],
    ids=reprlib.repr,
)
def test_size(text: str, alphabet: str, units: int, segments: int) -> None:
    size = size_of(text)

    assert (size.alphabet, size.units, size.segments) == (alphabet, units, segments)


def test_gsm_alphabet_has_its_127_characters_and_10_escaped() -> None:
    fitting = [chr(code) for code in range(0x10000) if size_of(chr(code)).alphabet == "GSM-7"]

    assert len([character for character in fitting if size_of(character).units == 1]) == 127
    assert len([character for character in fitting if size_of(character).units == 2]) == 10


def test_otp_costs_one_segment() -> None:
    assert size_of("Spacehub код: 482913. 5 мин дотор оруулна уу.").segments == 1
