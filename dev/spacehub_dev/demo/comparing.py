"""Sets what arrived against what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from spacehub_dev.demo.story import Expected, Scene
from spacehub_dev.demo.watching import Seen


@dataclass(frozen=True, slots=True)
class Result:
    """A scene with what came of it: each expectation with its arrival, if it arrived."""

    scene: Scene
    published: datetime
    arrivals: tuple[tuple[Expected, Seen | None], ...]


def compare(
    scenes: Sequence[Scene], published: Sequence[datetime], seen: Sequence[Seen]
) -> tuple[list[Result], list[Seen]]:
    """What came of each scene, and what arrived that no scene promised."""
    left = list(seen)
    results = []
    for scene, at in zip(scenes, published, strict=True):
        arrivals = []
        for expected in scene.expected:
            arrival = match(expected, left)
            if arrival is not None:
                left.remove(arrival)
            arrivals.append((expected, arrival))
        results.append(Result(scene, at, tuple(arrivals)))
    return results, left


def match(expected: Expected, seen: Sequence[Seen]) -> Seen | None:
    """The first arrival that is what was expected."""
    wanted = (expected.channel, expected.to, expected.text)
    return next((one for one in seen if (one.channel, one.to, one.text) == wanted), None)
