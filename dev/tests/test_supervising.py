"""How long the launcher waits before it starts something again."""

from spacehub_dev.launcher.supervising import Backoff


def test_waits_double_up_to_five_seconds() -> None:
    backoff = Backoff(clock=lambda: 0.0)

    waits = [backoff.next_wait() for _ in range(7)]

    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_process_that_stayed_up_is_started_again_at_once() -> None:
    now = 0.0
    backoff = Backoff(clock=lambda: now)
    for _ in range(5):
        backoff.next_wait()

    backoff.started()
    now += 11

    assert backoff.next_wait() == 0.2
