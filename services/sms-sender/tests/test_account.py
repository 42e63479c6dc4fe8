"""The password travels in the open only where nobody can listen from outside."""

import pytest
from sms_sender.account import Account


def account(url: str) -> Account:
    return Account(url=url, username="spacehub", password="s3cret", sender="131344")


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example.mn/sms",
        "http://127.0.0.1:8131/sms",
        "http://127.9.9.9/sms",
        "http://localhost:8131/sms",
        "http://[::1]:8131/sms",
        "http://sms-simulator:8131/sms",
        "http://sms-simulator.notify.svc/sms",
        "http://sms-simulator.notify.svc.cluster.local/sms",
    ],
)
def test_address_is_taken(url: str) -> None:
    assert account(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example.mn/sms",
        "http://10.0.0.7/sms",
        "http://0.0.0.0/sms",
        "http://127.0.0.1.example.mn/sms",
        "http://localhost.example.mn/sms",
        "ftp://localhost/sms",
        "localhost/sms",
        "http:///sms",
        "https://user:pass@gateway.example.mn/sms",
        "",
    ],
)
def test_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="gateway's address"):
        account(url)


def test_password_is_not_shown() -> None:
    assert "s3cret" not in repr(account("https://gateway.example.mn/sms"))
