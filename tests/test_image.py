"""The image can be built for every service, says when it is ready, and its development secrets are made up."""

import fnmatch
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.compose_file import ROOT, development, services, variables

LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
IMAGES = {
    (arguments["SERVICE"], arguments.get("MEMBER", f"services/{arguments['SERVICE']}"))
    for service in services(development()).values()
    if service.is_ours
    for arguments in [service.content["build"]["args"]]
}
"""What is built: each SERVICE with its MEMBER."""
HEALTHY = ROOT / "deploy" / "image" / "healthy.py"


def instructions(word: str) -> list[str]:
    """What follows `word` in the Dockerfile, in order."""
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets `path` through: the last pattern that fits it, or a folder it is in, decides."""
    sent = True
    places = [path, *map(str, Path(path).parents)]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.removeprefix("!")
        candidates = Path(path).parts if pattern.startswith("**/") else places
        if any(fnmatch.fnmatchcase(candidate, pattern.removeprefix("**/")) for candidate in candidates):
            sent = line.startswith("!")
    return sent


class Pages(BaseHTTPRequestHandler):
    """Ready or not, by the path it is asked."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/readyz", "/control/messages") else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a process that is ready has its pages."""
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def healthy(*arguments: str, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_HEALTH_PORT")}
    return subprocess.run([sys.executable, "-I", HEALTHY, *arguments], env=kept | environment).returncode


def test_every_service_has_its_image() -> None:
    members = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}

    assert {service for service, member in IMAGES if member == f"services/{service}"} == members
    for _, member in IMAGES:
        assert (ROOT / member / "pyproject.toml").is_file()


def test_stages_begin_with_the_base_that_was_asked_for_and_end_as_nobody() -> None:
    assert {line.split()[0] for line in instructions("FROM")} == {"${BASE}", "wheels"}
    assert instructions("FROM")[-1] == "${BASE}"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1])


def test_what_runs_is_run_without_a_shell_that_would_swallow_signals() -> None:
    command = instructions("CMD")[-1]
    check = instructions("HEALTHCHECK")[-1].partition("CMD ")[2]

    assert json.loads(command) == ["spacehub", "--help"]
    assert json.loads(check) == ["python3", "-I", "/srv/spacehub/healthy.py"]
    assert instructions("ENTRYPOINT") == []


def test_packages_come_from_the_lock_by_their_hashes_and_from_nowhere_else() -> None:
    installing = [line for line in instructions("RUN") if "pip wheel" in line or "install --quiet" in line]

    assert len(installing) == 2
    assert "--require-hashes" in installing[0]
    assert "--no-index --find-links /wheels" in installing[1]


@pytest.mark.parametrize(
    "path",
    [
        "requirements.lock",
        "deploy/image/healthy.py",
        "shared/spacehub/rabbit.py",
        "services/sms-sender/sms_sender/grammars/131344.toml",
        "services/inbox-api/inbox_api/locales/mn.ftl",
        "services/inbox-api/migrations/versions/0001_notifying.py",
        "dev/spacehub_dev/main.py",
    ],
)
def test_what_the_image_needs_is_sent_to_the_engine(path: str) -> None:
    assert (ROOT / path).is_file()
    assert is_sent(path)


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", ".venv/bin/python", ".run/keys/signer.json", "shared/tests/conftest.py", "tests/floors.py"],
)
def test_what_is_nobodys_business_stays_here(path: str) -> None:
    assert not is_sent(path)


def test_health_is_what_the_ready_page_says(port: int) -> None:
    assert healthy(SMS_SENDER_HEALTH_PORT=str(port)) == 0
    assert healthy(str(port), "/control/messages") == 0
    assert healthy(str(port), "/elsewhere") == 1


def test_a_process_that_does_not_answer_is_not_healthy() -> None:
    assert healthy(SMS_SENDER_HEALTH_PORT="1") == 1
    assert healthy() == 1


def test_development_secrets_are_made_up_once(tmp_path: Path) -> None:
    script = tmp_path / "deploy" / "compose" / "environment.py"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "compose" / "environment.py", script)
    shutil.copy(ROOT / ".env.example", tmp_path)

    subprocess.run([sys.executable, script], check=True)
    first = (tmp_path / ".env").read_text(encoding="utf-8")
    subprocess.run([sys.executable, script], check=True)

    example = variables((tmp_path / ".env.example").read_text(encoding="utf-8"))
    made = [value for name, value in variables(first).items() if not example[name]]
    assert len(set(made)) == len(made) == list(example.values()).count("")
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert (tmp_path / ".env").read_text(encoding="utf-8") == first
