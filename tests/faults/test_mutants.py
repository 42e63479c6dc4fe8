"""The mutants keep up with the code that they break."""

import shutil
from pathlib import Path

import pytest

from tests.faults.experiments import BY_NAME
from tests.faults.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.broken.replace(" ", "-"))
def test_a_mutant_finds_what_it_breaks_and_its_experiment(mutant: Mutant, tmp_path: Path) -> None:
    for file in {change.file for change in mutant.changes}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)

    for change in mutant.changes:
        change.apply(tmp_path)

    for change in mutant.changes:
        compile((tmp_path / change.file).read_text(encoding="utf-8"), change.file, "exec")
    assert mutant.experiment in BY_NAME
