"""What each reply of a carrier means: the rows decide, then the status, and success is never the status alone."""

from datetime import timedelta
from pathlib import Path

import pytest
from sms_sender.fates import CredentialsRefused, GatewayUnavailable, NoAnswer, RateLimited, Refused
from sms_sender.replies import Grammar, load_grammar, read_reply

OURS = load_grammar("131344")
TONGUES = load_grammar("tongues")


def fate(grammar: Grammar, status: int, body: str) -> str:
    """The message id, or the class and reason of the error, in one line."""
    try:
        return f"accepted {read_reply(grammar, status, body.encode())}"
    except (Refused, NoAnswer, GatewayUnavailable, RateLimited, CredentialsRefused) as error:
        return f"{type(error).__name__} {error.reason}"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, '{"result":"OK","messageId":"m-1"}', "accepted m-1"),
        (202, '{"messageId":17,"result":"OK","extra":[]}', "accepted 17"),
        (200, '{"result":"OK"}', "accepted None"),
        (200, '{"result":"OK","messageId":{"a":1}}', "accepted None"),
        (200, '{"result":"OK","messageId":"' + "x" * 65 + '"}', "accepted None"),
        (200, "", "NoAnswer unreadable_reply"),
        (200, "OK", "NoAnswer unreadable_reply"),
        (200, "<html>OK</html>", "NoAnswer unreadable_reply"),
        (200, '{"result":"ok"}', "NoAnswer unreadable_reply"),
        (200, '{"result":"OK","messageId":"m-1"', "NoAnswer unreadable_reply"),
        (200, '["OK"]', "NoAnswer unreadable_reply"),
        (200, "[" * 16_000, "NoAnswer unreadable_reply"),
        (204, "", "NoAnswer unreadable_reply"),
        (200, '{"result":"ERROR","code":"INVALID_TO"}', "Refused invalid_phone"),
        (400, '{"result":"ERROR","code":"INVALID_TO"}', "Refused invalid_phone"),
        (400, '{"result":"ERROR","code":"WHAT"}', "GatewayUnavailable status_400"),
        (401, '{"result":"ERROR","code":"AUTH"}', "CredentialsRefused credentials"),
        (200, '{"result":"ERROR","code":"AUTH"}', "CredentialsRefused credentials"),
        (401, "", "CredentialsRefused credentials"),
        (403, "<html>", "CredentialsRefused credentials"),
        (402, "", "CredentialsRefused no_credit"),
        (404, "", "GatewayUnavailable status_404"),
        (408, "", "GatewayUnavailable status_408"),
        (429, "", "RateLimited rate_limited"),
        (500, "", "GatewayUnavailable status_500"),
        (503, "", "GatewayUnavailable status_503"),
        (500, '{"result":"OK","messageId":"m-1"}', "NoAnswer status_500"),
        (502, "", "NoAnswer status_502"),
        (504, "", "NoAnswer status_504"),
        (520, "", "NoAnswer status_520"),
        (301, "", "GatewayUnavailable status_301"),
        (302, "", "NoAnswer status_302"),
        (303, "", "NoAnswer status_303"),
        (307, "", "GatewayUnavailable status_307"),
    ],
)
def test_reply_of_131344(status: int, body: str, expected: str) -> None:
    assert fate(OURS, status, body) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "Sent", "accepted None"),
        (200, " SUCCESS\r\n", "accepted None"),
        (200, "OK", "accepted None"),
        (200, "0: Accepted for delivery", "accepted None"),
        (200, '{"status":"queued","message_id":"q-9"}', "accepted q-9"),
        (200, '{"status":"failed","message_id":"q-9"}', "NoAnswer unreadable_reply"),
        (200, "Not Sent", "NoAnswer unreadable_reply"),
        (200, "OK, but not today", "NoAnswer unreadable_reply"),
        (500, "Sent", "NoAnswer status_500"),
    ],
)
def test_reply_in_another_tongue(status: int, body: str, expected: str) -> None:
    assert fate(TONGUES, status, body) == expected


def test_waiting_time_is_handed_on() -> None:
    with pytest.raises(RateLimited) as limited:
        read_reply(OURS, 429, b"", retry_in=timedelta(seconds=9))
    with pytest.raises(GatewayUnavailable) as unavailable:
        read_reply(OURS, 503, b"", retry_in=timedelta(seconds=7))

    assert limited.value.retry_in == timedelta(seconds=9)
    assert unavailable.value.retry_in == timedelta(seconds=7)


def test_grammar_of_a_provider_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        [[row]]
        json = { "data.state" = 1 }
        fate = "accepted"
        message_id = "data.id"

        [[row]]
        status = 400
        text = "link .* not approved"
        fate = "refused"
        reason = "rejected_text"
        """
    )

    grammar = load_grammar(file)

    assert fate(grammar, 200, '{"data":{"state":1,"id":"a"}}') == "accepted a"
    assert fate(grammar, 200, '{"data":{"state":true,"id":"a"}}') == "NoAnswer unreadable_reply"
    assert fate(grammar, 400, "link example.mn not approved") == "Refused rejected_text"
    assert fate(grammar, 400, "what?") == "GatewayUnavailable status_400"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ('fate = "accepted"\nstatus = 200', "never by the status alone"),
        ('fate = "refused"\nstatus = 400', "needs a reason"),
        ('fate = "refused"\nreason = "x"', "needs a status, json or text"),
        ('fate = "lost"\nstatus = 400', "row.0.fate"),
        ('fate = "accepted"\ntext = "("', "not a regular expression"),
        ('fate = "accepted"\ntext = "a"\nmesage_id = "b"', "row.0.mesage_id"),
    ],
)
def test_grammar_that_makes_no_sense_is_refused(tmp_path: Path, row: str, complaint: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(f"[[row]]\n{row}\n")

    with pytest.raises(ValueError, match=complaint):
        load_grammar(file)
