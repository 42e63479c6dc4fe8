"""The client of the 131344 gateway: one form post per text, and what became of it."""

from sms_sender.fates import Accepted


class Gateway:
    """The account at the carrier, over a pool of connections."""

    async def send(self, to: str, text: str) -> Accepted:
        """Ask the carrier once to deliver `text` to `to` (`976` + 8 digits), within one total deadline.

        Raises Refused, NoAnswer, GatewayUnavailable, RateLimited or CredentialsRefused; nothing else, and never retries.
        """
        raise NotImplementedError
