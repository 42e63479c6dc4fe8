"""Secrets that may change while a process runs: whoever needs one asks for it each time."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

Secret = str | Callable[[], str]
"""A value, or where to ask for it: a setting's `get_secret_value`, without calling it."""


def now(secret: Secret) -> str:
    """What it is at this moment."""
    return secret if isinstance(secret, str) else secret()


class MountedSecret(SecretStr):
    """The content of a file, read again whenever it is asked for: a cluster replaces it under the running process.

    While the file is absent or empty, the last content stands.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        super().__init__(file.read_text(encoding="utf-8").strip())

    def get_secret_value(self) -> str:
        """What the file says now."""
        with suppress(OSError):
            self._secret_value = self._file.read_text(encoding="utf-8").strip() or self._secret_value
        return self._secret_value
