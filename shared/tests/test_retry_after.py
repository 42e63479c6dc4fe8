"""How long a server asks us to stay away."""

from datetime import timedelta

import pytest
from spacehub.retry_after import retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "9" * 40}, 86_400),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30),
        ({"Retry-After": "Mon, 23 Nov 2026 09:00:00 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0),
        ({"Retry-After": "Sun, 23 Nov 2036 10:00:00 -0000", "Date": "nonsense"}, 86_400),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
    ],
)
def test_a_wish_in_either_form_is_heeded_and_nonsense_is_none(headers: dict[str, str], seconds: int | None) -> None:
    waiting = retry_after(headers)

    assert waiting == (None if seconds is None else timedelta(seconds=seconds))
