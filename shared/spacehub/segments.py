"""How many segments a text takes: the unit in which a carrier bills, and a budget counts."""

from dataclasses import dataclass
from typing import Literal

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED = frozenset("\f^{}\\[~]|€")
"""The extension table: each is sent as two units, an escape and itself."""
_GSM_ALL = _GSM | _GSM_ESCAPED


@dataclass(frozen=True, slots=True)
class Size:
    """A text as it travels. `units` are septets in GSM-7 and 16-bit units in UCS-2."""

    alphabet: Literal["GSM-7", "UCS-2"]
    units: int
    segments: int


def size_of(text: str) -> Size:
    """Measure `text` by 3GPP TS 23.038 and 23.040.

    GSM-7: 160 units, 153 each when concatenated. One character outside it turns the whole text into UCS-2: 70, then
    67. What takes two units (`€`, an emoji) is never split across segments, so a unit may stay empty before it.
    """
    if _GSM_ALL.issuperset(text):
        widths = [2 if character in _GSM_ESCAPED else 1 for character in text]
        return Size("GSM-7", sum(widths), _segments(widths, alone=160, joined=153))
    widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return Size("UCS-2", sum(widths), _segments(widths, alone=70, joined=67))


def _segments(widths: list[int], *, alone: int, joined: int) -> int:
    if sum(widths) <= alone:
        return 1
    segments, room = 1, joined
    for width in widths:
        if width > room:
            segments, room = segments + 1, joined
        room -= width
    return segments
