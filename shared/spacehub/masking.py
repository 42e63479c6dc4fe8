"""What a person may see of a message on a terminal: everything but what is nobody's business."""

import json
from typing import Any

from spacehub.events.catalogue import FACTS, REQUESTS
from spacehub.events.envelope import Attributes
from spacehub.events.facts import Recipient

SECRET_KEYS = frozenset({"phone", "code", "text", "token", "title", "body"})

_SHOWN_KEYS = {
    "datacontenttype",
    *Attributes.model_fields,
    *Recipient.model_fields,
    *(name for model in FACTS + REQUESTS for name in model.model_fields),
} - SECRET_KEYS
"""Keys whose values may be shown: those we know. What a message that cannot be read calls its secrets, nobody knows."""


def masked(body: bytes) -> str:
    """The body for a person to read: JSON with every value masked that may be private, anything else only measured."""
    try:
        return printable(json.dumps(_masked(json.loads(body), shown=False), ensure_ascii=False))
    except (ValueError, RecursionError):
        return f"<{len(body)} bytes that are not JSON>"


def printable(text: object) -> str:
    """Without what a terminal would take for a command; nothing for None."""
    return "".join(character if character.isprintable() else "?" for character in str(text or ""))


def _masked(value: Any, *, shown: bool) -> Any:
    match value:
        case dict():
            return {
                key: "***" if key in SECRET_KEYS else _masked(inner, shown=key in _SHOWN_KEYS)
                for key, inner in value.items()
            }
        case list():
            return [_masked(inner, shown=shown) for inner in value]
        case _:
            return value if shown else "***"
