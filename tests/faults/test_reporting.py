"""The page of faults says what one run found, and nothing else."""

from pathlib import Path

from tests.faults.checking import Counts
from tests.faults.experiments import BY_NAME, EXPERIMENTS
from tests.faults.mutants import MUTANTS, Caught
from tests.faults.otp_first import CONDITIONS, Measured
from tests.faults.reporting import write_page
from tests.faults.running import Result


def test_page_holds_one_run_in_the_order_of_the_experiments_and_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text("| what an earlier run found |")
    lost = Result(BY_NAME["freeze broker"], "silent for 30 s", Counts(deliveries=9, lost=2, problems=["lost: one"]), 37)
    held = Result(BY_NAME["kill topology keep"], "ready again", Counts(deliveries=420), 7)
    legs = {"to inbox-api": 20.0, "to the claim": 30.0, "to the gateway": 10.0}
    codes = Measured("hang", 20_000, 19_000, 300, 47, 401, 481, 1.5, legs)

    write_page(
        [lost, held],
        [codes],
        [Caught(MUTANTS[0], True, "lost 7", 60), Caught(MUTANTS[1], False, "lost 0", 61)],
        run="1 of 2 held.",
        page=page,
    )

    text = page.read_text()
    assert "earlier" not in text
    assert text.index("kill -9 of `topology keep`") < text.index("SIGSTOP of RabbitMQ for 30 s")
    assert "**did not hold**: silent for 30 s | 9 | 2 |" in text
    assert f"| {CONDITIONS['hang']} | 20,000 to 19,000 | 300 | 47 ms | 401 ms |" in text
    assert f"| {MUTANTS[0].broken} | kill in mid-batch | lost 7 | 60 |" in text
    assert "| **no**: lost 0 | 61 |" in text
    assert text.endswith("1 of 2 held.\n")


def test_experiments_have_names_and_titles_of_their_own() -> None:
    assert len(BY_NAME) == len(EXPERIMENTS) == len({experiment.title for experiment in EXPERIMENTS})
