"""A carrier in memory."""

from datetime import timedelta

from sms_sender.fates import Accepted


class FakeGateway:
    """A carrier that takes every text, except when told otherwise."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.calls = 0
        self._failures: list[tuple[Exception, bool]] = []

    def fail_next(self, error: Exception, *, taking_it: bool = False) -> None:
        """The next call raises `error`; with `taking_it`, after the carrier took the text."""
        self._failures.append((error, taking_it))

    def texts_to(self, number: str) -> list[str]:
        """What the phone received, in order."""
        return [text for to, text in self.taken if to == number]

    async def send(self, to: str, text: str) -> Accepted:
        self.calls += 1
        error, taking_it = self._failures.pop(0) if self._failures else (None, True)
        if taking_it:
            self.taken.append((to, text))
        if error is not None:
            raise error
        return Accepted(f"m-{self.calls}", timedelta(milliseconds=1))
