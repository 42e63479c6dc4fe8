"""What a push looks like on the wire."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from push_sender.device import Device
from push_sender.message import LONGEST_LIFE, letter_of
from push_sender.testing import push_request
from spacehub.events.requests import PushRequested

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
ANDROID = Device("token", "android")
NOTIFICATION = UUID("5f4dcc3b-5aa7-45d6-9d83-27deb882cf99")


def on_the_wire(push: PushRequested, device: Device = ANDROID) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(letter_of(push, now=NOW).to(device))
    assert list(body) == ["message"]
    message: dict[str, Any] = body["message"]
    return message


def test_standard_push_is_this_message_on_all_three_platforms() -> None:
    push = push_request(
        notification_id=NOTIFICATION,
        title="Төлбөр",
        body="11-р сарын төлбөр: ₮1,250,000.",
        link="spacehub://bills/A1201-2026-11",
        expires_at=NOW + timedelta(minutes=10),
    )

    assert on_the_wire(push) == {
        "token": "token",
        "notification": {"title": "Төлбөр", "body": "11-р сарын төлбөр: ₮1,250,000."},
        "data": {
            "notification_id": str(NOTIFICATION),
            "type": "bill.issued",
            "link": "spacehub://bills/A1201-2026-11",
        },
        "android": {
            "priority": "normal",
            "ttl": "600s",
            "notification": {"sound": "default", "tag": str(NOTIFICATION)},
        },
        "apns": {
            "headers": {
                "apns-priority": "5",
                "apns-expiration": str(int(NOW.timestamp()) + 600),
                "apns-collapse-id": str(NOTIFICATION),
            },
            "payload": {"aps": {"sound": "default"}},
        },
        "webpush": {
            "headers": {"TTL": "600", "Urgency": "normal"},
            "notification": {"tag": str(NOTIFICATION)},
        },
    }


def test_critical_push_is_urgent_everywhere() -> None:
    message = on_the_wire(push_request(critical=True))

    assert message["android"]["priority"] == "high"
    assert message["apns"]["headers"]["apns-priority"] == "10"
    assert message["webpush"]["headers"]["Urgency"] == "high"


def test_push_without_a_link_has_none_anywhere() -> None:
    message = on_the_wire(push_request(link=None))

    assert "link" not in message["data"]
    assert "fcm_options" not in message["webpush"]


@pytest.mark.parametrize(
    ("link", "browser_link"),
    [
        ("https://app.spacehub.mn/bills/1", "https://app.spacehub.mn/bills/1"),
        ("spacehub://bills/1", None),
        ("http://app.spacehub.mn/bills/1", None),
        ("javascript:alert(1)", None),
    ],
)
def test_only_an_https_link_is_left_to_the_browser(link: str, browser_link: str | None) -> None:
    message = on_the_wire(push_request(link=link))

    assert message["data"]["link"] == link
    assert message["webpush"].get("fcm_options", {}).get("link") == browser_link


def test_life_beyond_what_fcm_takes_is_cut_to_it() -> None:
    message = on_the_wire(push_request(expires_at=NOW + timedelta(days=60)))

    seconds = int(LONGEST_LIFE.total_seconds())
    assert message["android"]["ttl"] == f"{seconds}s"
    assert message["webpush"]["headers"]["TTL"] == str(seconds)
    assert message["apns"]["headers"]["apns-expiration"] == str(int(NOW.timestamp()) + seconds)


def test_fraction_of_a_second_of_life_is_dropped() -> None:
    message = on_the_wire(push_request(expires_at=NOW + timedelta(seconds=9.9)))

    assert message["android"]["ttl"] == "9s"


def test_no_collapse_key_lets_fcm_forget_all_but_four() -> None:
    assert "collapse_key" not in on_the_wire(push_request())["android"]


def test_token_of_any_characters_arrives_as_it_is() -> None:
    token = 'a"b\\c/д€\u2028:😀' + "x" * 4000

    assert on_the_wire(push_request(), Device(token, "web"))["token"] == token


def test_installation_is_addressed_as_one() -> None:
    message = on_the_wire(push_request(), Device("installation", "ios", "fid"))

    assert message["fid"] == "installation"
    assert "token" not in message
