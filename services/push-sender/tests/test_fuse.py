"""Many tokens of another project at once mean that our configuration is wrong."""

from push_sender.fates import Dead, Fate, Passing, Reached
from push_sender.fuse import Fuse
from spacehub.testing.clock import Clock

MISMATCH = Dead("sender_id_mismatch")
SUSPECTED = Passing("sender_id_mismatch")


def test_some_tokens_of_another_project_are_dead() -> None:
    fates: list[Fate] = [MISMATCH, MISMATCH, MISMATCH, MISMATCH, Reached()]

    assert Fuse().judged(fates) == fates


def test_many_at_once_are_our_fault_and_delete_nothing() -> None:
    fates: list[Fate] = [*[MISMATCH] * 5, Reached(), Dead("unregistered")]

    assert Fuse().judged(fates) == [*[SUSPECTED] * 5, Reached(), Dead("unregistered")]


def test_many_one_after_the_other_are_our_fault_too() -> None:
    fuse = Fuse()

    judged = [fuse.judged([MISMATCH])[0] for _ in range(8)]

    assert judged == [MISMATCH] * 4 + [SUSPECTED] * 4


def test_many_among_many_more_that_are_reached_are_dead() -> None:
    fates: list[Fate] = [*[MISMATCH] * 20, *[Reached()] * 100]

    assert Fuse().judged(fates) == fates


def test_what_failed_otherwise_says_nothing_about_the_project() -> None:
    fates: list[Fate] = [*[MISMATCH] * 5, *[Passing("unavailable")] * 100]

    assert Fuse().judged(fates) == [*[SUSPECTED] * 5, *[Passing("unavailable")] * 100]


def test_suspicion_ends_a_minute_later() -> None:
    clock = Clock()
    fuse = Fuse(clock=clock)
    fuse.judged([MISMATCH] * 5)

    clock.now += 61

    assert fuse.judged([MISMATCH]) == [MISMATCH]
