"""The house stands: imports point down only, every module has its floor, and no file is over its wall."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from tests.floors import MAY_IMPORT, ROOMS, SHARED_FOR

ROOT = Path(__file__).parents[1]
WALL = 400
SERVICES = list(ROOMS)
UNWANTED = {"utils", "helpers", "common", "base", "manager"}


@pytest.fixture(scope="session")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("spacehub", "spacehub_dev", *SERVICES, include_external_packages=False, cache_dir=None)


def _rooms(graph: grimp.ImportGraph, service: str) -> Iterator[tuple[str, str]]:
    """Every module of `service` with its room: the first name below the package."""
    for module in sorted(graph.modules):
        if module.startswith(f"{service}."):
            yield module, module.split(".")[1]


@pytest.mark.parametrize("service", SERVICES)
def test_every_room_of_a_service_has_its_floor(graph: grimp.ImportGraph, service: str) -> None:
    rooms = {room for _, room in _rooms(graph, service)}

    assert rooms == set(ROOMS[service]), "place new rooms in tests/floors.py, and take gone ones out"


@pytest.mark.parametrize("service", SERVICES)
def test_imports_inside_a_service_point_down_only(graph: grimp.ImportGraph, service: str) -> None:
    floors = ROOMS[service]

    upward = [
        f"{module} ({floors[room]}) imports {imported} ({floors[target]})"
        for module, room in _rooms(graph, service)
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith(f"{service}.")
        and (target := imported.split(".")[1]) != room
        and floors[target] not in MAY_IMPORT[floors[room]]
    ]

    assert upward == []


@pytest.mark.parametrize("service", SERVICES)
def test_deeds_and_things_know_only_the_vocabulary(graph: grimp.ImportGraph, service: str) -> None:
    plumbing = [
        f"{module} imports {imported}"
        for module, room in _rooms(graph, service)
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith("spacehub.")
        and (allowed := SHARED_FOR.get(ROOMS[service][room])) is not None
        and imported.split(".")[1] not in allowed
    ]

    assert plumbing == []


@pytest.mark.parametrize("package", ["spacehub", *SERVICES])
def test_imports_make_no_circle(graph: grimp.ImportGraph, package: str) -> None:
    modules = {module for module in graph.modules if module == package or module.startswith(f"{package}.")}

    circles = [
        f"{module} -> {imported}"
        for module in modules
        for imported in graph.find_modules_directly_imported_by(module) & modules
        if graph.chain_exists(imported, module)
    ]

    assert circles == []


def test_services_and_shared_know_nothing_of_each_other(graph: grimp.ImportGraph) -> None:
    packages = [*SERVICES, "spacehub"]
    strangers = [
        f"{module} imports {imported}"
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if (home := module.split(".")[0]) in packages
        and (other := imported.split(".")[0]) != home
        and not (home in SERVICES and other == "spacehub")
    ]

    assert strangers == []


def _files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split() if (ROOT / name).exists()]


def test_no_file_is_over_its_wall() -> None:
    over = [path.name for path in _files() if len(path.read_text(encoding="utf-8").splitlines()) > WALL]

    assert over == []


def test_init_files_are_empty_and_no_room_is_a_drawer_for_everything() -> None:
    files = _files()

    assert [
        str(path) for path in files if path.name == "__init__.py" and path.read_text(encoding="utf-8").strip()
    ] == []
    assert [str(path) for path in files if path.stem in UNWANTED] == []


def test_every_module_says_in_a_sentence_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in _files()
        if path.name != "__init__.py"
        and "migrations" not in path.parts
        and "tests" not in path.parts
        and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]

    assert silent == []
