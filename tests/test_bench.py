"""What `make bench` says of its figures, and that the page has a place for each of them."""

from pathlib import Path

import pytest

from bench import reporting
from bench.__main__ import STAGES
from bench.measuring import Findings, Goal, Meter, Sample, ratio, spread


def test_every_stage_has_its_place_on_the_page() -> None:
    page = reporting.PAGE.read_text()

    assert {name for name in (*STAGES, "versions") if f"<!-- {name} -->\n" not in page} == set()


@pytest.mark.parametrize(
    ("goal", "line"),
    [
        (Goal("a / b", 17.24, 15), "a / b: 17.2 × (goal: at least 15.0 ×, met)"),
        (Goal("a / b", 0.57, 0.6), "a / b: 0.57 × (goal: at least 0.60 ×, **not met**)"),
        (Goal("p99", 251, 250, at_most=True, unit="ms"), "p99: 251 ms (goal: at most 250 ms, **not met**)"),
        (Goal("a / b", 2), "a / b: 2.00 ×"),
    ],
)
def test_goal_says_whether_it_is_met(goal: Goal, line: str) -> None:
    assert goal.line == line


def test_ratio_is_the_median_of_rounds_and_not_the_ratio_of_medians() -> None:
    ours = [Sample(100, 1), Sample(100, 10), Sample(100, 2)]  # the machine was busy in the second round
    theirs = [Sample(10, 1), Sample(10, 10), Sample(10, 1)]

    assert ratio(ours, theirs) == 10
    assert spread(ours) == "50.0 (10.0 to 100)"


def test_meter_counts_the_cpu_of_this_process() -> None:
    meter = Meter()
    while (sample := meter.read(10)).cpu < 0.05:
        sum(range(10_000))

    assert sample.count == 10
    assert 0 < sample.cpu_each <= sample.cpu * 1e6


def test_results_replace_those_of_the_last_run_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Words\n\n<!-- feed -->\nold\nold\n<!-- end -->\n\nMore words.\n")
    monkeypatch.setattr(reporting, "PAGE", page)

    reporting.write("feed", Findings([Goal("a / b", 2)], head=["way"], rows=[["ours"]]))

    written = "# Words\n\n<!-- feed -->\n- a / b: 2.00 ×\n\n| way |\n|---|\n| ours |\n<!-- end -->\n\nMore words.\n"
    assert page.read_text() == written
