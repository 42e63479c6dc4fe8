"""The pages hang together: every link leads somewhere, and every decision is in the list of decisions."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def text_of(page: Path) -> str:
    """The page without its programs and drawings."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What can follow the # in a link to `page`, as GitHub makes it from the headings."""
    headings = HEADING.findall(text_of(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def title(decision: Path) -> str:
    return decision.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    astray = []
    for link in LINK.findall(text_of(page)):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            astray.append(link)

    assert astray == []


def test_every_page_can_be_found_from_the_readme() -> None:
    found: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        found.add(page)
        for link in LINK.findall(text_of(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            target = target / "README.md" if target.is_dir() else target
            if target in PAGES and target not in found:
                left.append(target)

    assert {named(page) for page in PAGES} - {named(page) for page in found} == set()


def test_the_list_of_decisions_names_each_by_its_title() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")

    lines = [line for line in listed.splitlines() if line.startswith("- [")]

    assert lines == [f"- [{title(one)}]({one.name})" for one in DECISIONS]


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in DECISIONS]

    assert [number for number, count in Counter(numbers).items() if count > 1] == []
    assert [title(path).partition(".")[0] for path in DECISIONS] == [number.lstrip("0") for number in numbers]
