"""A preview shows what an event would say and cost, in every language that may be meant, and sends nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from inbox_api.app import app
from inbox_api.previews import Preview, previews
from inbox_api.testing import BAT, SARA, announcement, bill, event, otp, payment
from spacehub.events import envelope, facts
from spacehub.events.envelope import Event
from spacehub.events.facts import Recipient
from spacehub.segments import Size, size_of
from typer.testing import CliRunner, Result

SAMPLES = Path(__file__).parents[3] / "docs" / "events" / "samples"


def run(*files: str, given: bytes | None = None) -> Result:
    """The command, with no broker, no database and no settings anywhere."""
    return CliRunner().invoke(app, ["preview", *files], input=given, env={"PATH": ""})


def written(one: Event) -> bytes:
    return envelope.write(one).body


def test_bill_is_shown_on_every_channel_in_both_languages() -> None:
    shown = previews(event(bill()))

    assert [(one.channel, one.locales) for one in shown] == [
        (channel, (locale,)) for channel in ("inbox", "push", "sms") for locale in ("mn", "en")
    ]
    assert shown[4] == Preview(
        "sms", ("mn",), None, "11-р сарын төлбөр: ₮1,250,000. 2026-12-05-ийн дотор төлнө үү.", Size("UCS-2", 61, 1)
    )
    assert shown[0].title == "Шинэ төлбөр"


def test_code_is_shown_as_an_sms_alone_and_its_english_is_cheaper() -> None:
    mn, en = previews(event(otp()))

    assert (mn.channel, en.channel) == ("sms", "sms")
    assert (mn.size, en.size) == (Size("UCS-2", 45, 1), size_of("Spacehub code: 482913. Enter it within 5 min."))
    assert en.size is not None
    assert en.size.alphabet == "GSM-7"


@pytest.mark.parametrize(
    ("recipients", "locales"),
    [
        ((Recipient(user_id=BAT, locale="en"),), {"en"}),
        ((Recipient(user_id=BAT, locale="en"), Recipient(user_id=SARA, locale="mn")), {"mn", "en"}),
        ((Recipient(user_id=BAT, locale="en"), Recipient(user_id=SARA)), {"mn", "en"}),
    ],
)
def test_languages_are_those_that_the_event_names(recipients: tuple[Recipient, ...], locales: set[str]) -> None:
    shown = previews(event(announcement(*recipients)))

    assert {locale for one in shown for locale in one.locales} == locales


def test_text_that_is_the_same_in_both_languages_is_shown_once() -> None:
    [sms] = previews(event(announcement(channels={"sms"}, body="[x]" * 54)))

    assert (sms.locales, sms.size) == (("mn", "en"), Size("GSM-7", 270, 2))


def test_command_prints_text_length_alphabet_and_segments() -> None:
    result = run("-", given=written(event(payment(recipient=Recipient(user_id=BAT, locale="en")), id="p-1")))

    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "payment.confirmed p-1",
        "  inbox  en       16 characters  Payment received",
        "                  42 characters  Payment of ₮1,250,000 received. Thank you.",
        "  push   en       16 characters  Payment received",
        "                  42 characters  Payment of ₮1,250,000 received. Thank you.",
        "  sms    en       42 characters  Payment of ₮1,250,000 received. Thank you.",
        "                 UCS-2, 42 units, 1 segment",
    ]


def test_event_that_says_nothing_is_told_so() -> None:
    result = run("-", given=written(event(facts.BillCancelled(bill_id="1"), id="x")))

    assert (result.exit_code, result.output) == (0, "bill.cancelled x\n  says nothing to anybody\n")


def test_every_sample_that_is_valid_can_be_previewed() -> None:
    samples = [str(path) for path in sorted(SAMPLES.glob("*.json")) if "unreadable" not in path.name]

    result = run(*samples)

    assert result.exit_code == 0, result.output
    assert result.output.count("segment") >= 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"amount": "many"}, "wrong_data: data.amount: "), ({"due_date": "5 December"}, "wrong_data: data.due_date: ")],
)
def test_fault_in_an_event_is_told_by_its_field(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    content = json.loads(written(event(bill())))
    content["data"] |= change
    path = tmp_path / "bill.json"
    path.write_text(json.dumps(content))

    result = run(str(path))

    assert result.exit_code == 1
    assert f"{path}: {fault}" in result.output
    assert "many" not in result.output
    assert "1 invalid, nothing to preview" in result.output
