"""What a simulator accepted, in order of arrival."""

import json
from collections.abc import Mapping


class Accepted:
    """Numbered messages. Forgetting them does not start the numbers again, so a reader's place stays its place."""

    def __init__(self) -> None:
        self._first = 0
        self._messages: list[bytes] = []

    def add(self, message: Mapping[str, object]) -> None:
        self._messages.append(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())

    def forget(self) -> None:
        self._first += len(self._messages)
        self._messages.clear()

    def since(self, number: int) -> bytes:
        """The page `{"next": M, "messages": [...]}` of all messages from `number` on."""
        messages = self._messages[max(number - self._first, 0) :]
        return b'{"next":%d,"messages":[%b]}' % (self._first + len(self._messages), b",".join(messages))
