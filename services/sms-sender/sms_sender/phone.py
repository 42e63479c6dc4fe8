"""Phone numbers: many spellings in, one Mongolian mobile number out, or a refusal."""

import re
import unicodedata

from phonenumbers import PhoneNumber, PhoneNumberType, number_type

from sms_sender.fates import Refused

COUNTRY = "976"

_SPELLING = re.compile(rf"(?:(?:\+|00|0)?{COUNTRY}|0?)([0-9]{{8}})")
_SEPARATORS = frozenset(".()[]\t\r\n\N{MINUS SIGN}")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # what an East Asian keyboard gives for ASCII


class InvalidPhone(Refused):
    """No Mongolian mobile number: a text there would be paid for and never read. Correct it where it was entered."""

    def __init__(self) -> None:
        super().__init__("invalid_phone")


def mobile_number(raw: str) -> str:
    """`976` and the 8 digits of the mobile number that `raw` spells.

    Read as one: spaces, dashes, dots and brackets anywhere, a leading `+`, `00` or `0`, with the country code or
    without; spaces and dashes of any kind, full-width characters, and the invisible marks that pasted text carries.
    Any other character, number of digits or country raises InvalidPhone, and so does a line that is not mobile by
    libphonenumber's data.
    """
    digits = "".join(character for character in raw.translate(_FULL_WIDTH) if not _is_blank(character))
    spelled = _SPELLING.fullmatch(digits)
    if spelled is None:
        raise InvalidPhone
    national = spelled[1]
    number = PhoneNumber(country_code=int(COUNTRY), national_number=int(national))
    if number_type(number) != PhoneNumberType.MOBILE:
        raise InvalidPhone
    return COUNTRY + national


def _is_blank(character: str) -> bool:
    """Whether it carries no meaning: a separator, a space (Zs), a dash (Pd), or an invisible mark (Cf)."""
    return character in _SEPARATORS or unicodedata.category(character) in ("Zs", "Pd", "Cf")
