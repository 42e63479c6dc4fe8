"""What a reply of the carrier means: rows of data per provider, and the HTTP status where no row fits."""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sms_sender.fates import CredentialsRefused, GatewayUnavailable, NoAnswer, RateLimited, Refused

Fate = Literal["accepted", "refused", "ambiguous", "unavailable", "rate_limited", "credentials"]
Scalar = str | int | bool


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return pattern


class Row(BaseModel):
    """One answer and its fate. `json` holds keys and the values they must have, a dot leading into an object; `text` is
    a regular expression for the whole body, blanks at its ends aside; `message_id` is the key of the carrier's id.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    fate: Fate
    reason: str | None = None
    status: int | None = None
    fields: Annotated[Mapping[str, Scalar], Field(alias="json")] = {}
    text: Annotated[str, AfterValidator(_compiles)] | None = None
    message_id: str | None = None

    @model_validator(mode="after")
    def _decides_by_more_than_a_status(self) -> Self:
        if self.fate == "refused" and not self.reason:
            raise ValueError("a refusal needs a reason")
        if self.fate == "accepted" and not (self.fields or self.text):
            raise ValueError("success is matched in the body, never by the status alone")
        if self.status is None and not (self.fields or self.text):
            raise ValueError("a row needs a status, json or text to fit")
        return self


class Grammar(BaseModel):
    """The rows of one provider, in order."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    row: list[Row]


STATUSES: Mapping[int, Fate] = {
    **dict.fromkeys(range(200, 300), "ambiguous"),  # taken, perhaps: the body does not say so
    **dict.fromkeys((301, 307, 308), "unavailable"),  # RFC 9110: sends us elsewhere instead of processing
    **dict.fromkeys((302, 303), "ambiguous"),  # also the habitual answer to a form that was processed
    **dict.fromkeys(range(400, 500), "unavailable"),  # not taken; no row says that the text or number is at fault
    **dict.fromkeys((401, 403, 407), "credentials"),
    402: "credentials",  # the account is empty: ours to mend, like a password
    429: "rate_limited",
    **dict.fromkeys((500, 501, 503, 505), "unavailable"),
    **dict.fromkeys((502, 504), "ambiguous"),  # a proxy speaks: what stands behind it may have taken the text
}
"""What a status means when no row fits; one that is missing here is ambiguous."""


def load_grammar(name: str | Path) -> Grammar:
    """The grammar shipped under `name` (`131344`, `tongues`), or read from a TOML file of the same shape.

    Raises OSError or ValueError; the message names the row and the key.
    """
    source = Path(name) if Path(name).suffix else files("sms_sender") / "grammars" / f"{name}.toml"
    return Grammar.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))


def read_reply(grammar: Grammar, status: int, body: bytes, *, retry_in: timedelta | None = None) -> str | None:
    """The carrier's message id (None when the reply names none) of a text that it took.

    Raises the fate of every other reply. `retry_in` is what its Retry-After asked for.
    """
    text = body.decode("utf-8", errors="replace").strip()
    content = _parsed(text)
    for row in grammar.row:
        if _fits(row, status, text, content):
            break
    else:
        row = Row(fate=STATUSES.get(status, "ambiguous"), status=status)

    unsuccessful = f"status_{status}"
    match row.fate:
        case "accepted" if 200 <= status < 300:
            return _identifier(content, row.message_id)
        case "accepted":
            raise NoAnswer(row.reason or unsuccessful)  # the body says yes, the status says no
        case "ambiguous":
            raise NoAnswer(row.reason or ("unreadable_reply" if 200 <= status < 300 else unsuccessful))
        case "refused":
            raise Refused(row.reason or unsuccessful)
        case "unavailable":
            raise GatewayUnavailable(row.reason or unsuccessful, retry_in=retry_in)
        case "rate_limited":
            raise RateLimited(row.reason or "rate_limited", retry_in=retry_in)
        case "credentials":
            raise CredentialsRefused(row.reason or ("no_credit" if status == 402 else "credentials"))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _fits(row: Row, status: int, text: str, content: object) -> bool:
    if row.status is not None and row.status != status:
        return False
    if row.text is not None and not re.fullmatch(row.text, text):
        return False
    return all(_same(_at(content, key), value) for key, value in row.fields.items())


def _at(content: object, key: str) -> object:
    for step in key.split("."):
        content = content.get(step) if isinstance(content, dict) else None
    return content


def _same(found: object, wanted: Scalar) -> bool:
    return type(found) is type(wanted) and found == wanted  # true is not 1


def _identifier(content: object, key: str | None) -> str | None:
    found = _at(content, key) if key else None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and 0 < len(found) <= 64 and found.isprintable() else None
