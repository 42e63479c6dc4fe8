"""On a terminal a message shows what helps to understand it, and no secret, also when nobody can read it."""

import base64
import json

import pytest
from spacehub.events.envelope import Event, write
from spacehub.events.facts import OtpRequested
from spacehub.masking import masked

PHONE, CODE = "99112233", "482913"


@pytest.mark.parametrize(
    "body",
    [
        write(Event("e-1", "/auth", OtpRequested(phone=PHONE, code=CODE))).body,
        json.dumps({"type": "mn.spacehub.sms.requested", "data": {"phone": PHONE, "text": "secret text"}}).encode(),
        json.dumps({"data": {"recipients": [{"phone": PHONE}, {"phone": {"id": PHONE}}], "body": [CODE]}}).encode(),
        json.dumps({"data": {"phoneNumber": PHONE, "otp": 482913, "Code": CODE, "deep": {"er": [[CODE]]}}}).encode(),
        json.dumps({"data_base64": base64.b64encode(PHONE.encode()).decode()}).encode(),
        json.dumps({"phone": int(PHONE), "token": CODE}).encode(),
        json.dumps(PHONE).encode(),
        PHONE.encode(),
        f"phone={PHONE}".encode(),
        b"[" * 100_000 + PHONE.encode(),
    ],
)
def test_secrets_are_masked_wherever_they_stand(body: bytes) -> None:
    shown = masked(body)

    hidden = (PHONE, CODE, base64.b64encode(PHONE.encode()).decode(), "secret text")
    assert not [secret for secret in hidden if secret in shown]


def test_what_helps_to_understand_a_letter_is_shown() -> None:
    bill = {
        "bill_id": "A-1",
        "amount": "many",
        "due_date": "2026-12-05",
        "recipient": {"user_id": "u-1", "phone": PHONE},
    }

    shown = json.loads(masked(json.dumps({"id": "e-1", "type": "mn.spacehub.bill.issued", "data": bill}).encode()))

    recipient = {"user_id": "u-1", "phone": "***"}
    assert shown == {"id": "e-1", "type": "mn.spacehub.bill.issued", "data": {**bill, "recipient": recipient}}
