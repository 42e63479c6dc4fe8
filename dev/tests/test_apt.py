"""Installing a package never starts its server, and leaves the machine's own policy as it was."""

import subprocess
import sys
from pathlib import Path

import pytest
from spacehub_dev.provisioning.apt import servers_stay_down


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def test_no_server_may_start_while_packages_are_installed(policy: Path) -> None:
    with servers_stay_down(policy):
        assert answer(policy) == 101

    assert not policy.exists()


def test_the_machines_own_policy_comes_back(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o755)

    with servers_stay_down(policy):
        assert answer(policy) == 101

    assert answer(policy) == 104
    assert list(policy.parent.iterdir()) == [policy]


def test_a_policy_left_behind_by_a_kill_forbids_nothing_and_goes_next_time(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o755)
    script = (
        "import os, pathlib\n"
        "from spacehub_dev.provisioning.apt import servers_stay_down\n"
        f"with servers_stay_down(pathlib.Path({str(policy)!r})):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script])
    assert "spacehub" in policy.read_text()

    left_behind = answer(policy)
    with servers_stay_down(policy):
        pass

    assert left_behind == 104
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"


def answer(policy: Path) -> int:
    return subprocess.run([policy, "rabbitmq-server", "start"]).returncode
