"""A private PostgreSQL: its own port, data directory and password, on 127.0.0.1 only."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from spacehub_dev.provisioning import accounts
from spacehub_dev.provisioning.ports import release_port, reserve_port
from spacehub_dev.provisioning.program import LEASH, Program
from spacehub_dev.provisioning.servers import ServerUnavailable

USER = "spacehub"


class PrivatePostgres:
    """PostgreSQL from programs on this machine. Data under `directory` is kept from one run to the next.

    `durable=False` leaves out fsync: faster, and safe against kill -9 of the server, not against a power cut.
    """

    def __init__(self, binaries: Path, directory: Path, *, durable: bool = True) -> None:
        self._binaries = binaries
        self._account = accounts.server_account()
        self._home = directory / "postgres"
        self._home.mkdir(parents=True, exist_ok=True)
        reachable = accounts.reachable_by(self._account, self._home)
        self._data = (self._home if reachable else accounts.elsewhere(directory)) / "pgdata"
        known = self._read_state()
        self._password = known.get("password") or secrets.token_hex(16)
        self._port = reserve_port(int(known["port"]) if "port" in known else None)
        settings = {
            "port": str(self._port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._program = Program(
            name="postgres",
            command=[str(binaries / "postgres"), "-D", str(self._data), *options],
            directory=directory,
            log=directory / "logs" / "postgres.log",
            environment=self._environment(),
            user=self._account,
            stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, nothing is lost
            death_signal=signal.SIGQUIT,  # immediate shutdown: the whole family goes at once
        )

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    @property
    def pid(self) -> int | None:
        return self._program.pid

    def start(self) -> None:
        self._make_data()
        deadline = time.monotonic() + 60
        while True:
            (self._data / "postmaster.pid").unlink(missing_ok=True)  # ours alone: see leftovers
            self._program.start()
            while self._program.alive() and time.monotonic() < deadline:
                if self._is_ready():
                    return
                time.sleep(0.02)
            # After kill -9 of the postmaster its backends need a moment to notice and let go of the memory.
            if "still in use" not in self._program.last_lines() or time.monotonic() > deadline:
                self._program.kill()
                raise ServerUnavailable(f"PostgreSQL did not start:\n{self._program.last_lines()}")
            time.sleep(0.2)

    def stop(self) -> None:
        self._program.stop()

    def kill(self) -> None:
        self._program.kill()

    def suspend(self) -> None:
        self._program.suspend()

    def resume(self) -> None:
        self._program.resume()

    def alive(self) -> bool:
        return self._program.alive()

    def discard(self) -> None:
        """Kill it, delete its data and give its port back."""
        self.kill()
        shutil.rmtree(self._data.parent, ignore_errors=True)
        shutil.rmtree(self._home, ignore_errors=True)
        release_port(self._port)

    def _is_ready(self) -> bool:
        """PostgreSQL writes its state into the eighth line of postmaster.pid (utils/pidfile.h)."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self._program.pid) and lines[7].strip() == "ready"

    def _make_data(self) -> None:
        version = self._version()
        if self._read_state().get("version") != version or not (self._data / "PG_VERSION").exists():
            shutil.rmtree(self._data, ignore_errors=True)
            self._initialise()
        state = {"version": version, "password": self._password, "port": str(self._port)}
        path = self._home / "state.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(state))

    def _initialise(self) -> None:
        if self._data.parent != self._home:
            accounts.make_elsewhere(self._data.parent)
        accounts.hand_over(self._data, self._account)
        password = self._data.parent / "pgdata-password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if self._account is not None:
            shutil.chown(password, self._account)
        leash = [sys.executable, "-I", "-S", str(LEASH), "9", str(os.getpid()), self._account or "-", "0"]
        initdb = [str(self._binaries / "initdb"), "-D", str(self._data), "--username", USER, "--pwfile", str(password)]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [*leash, *initdb, *options], capture_output=True, text=True, env=self._environment(), cwd="/"
        )
        password.unlink()
        if done.returncode != 0:
            raise ServerUnavailable(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _version(self) -> str:
        command = [str(self._binaries / "postgres"), "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()

    def _read_state(self) -> dict[str, str]:
        try:
            state: dict[str, str] = json.loads((self._home / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return state

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self._data.parent)}
