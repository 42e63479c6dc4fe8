"""What sms-sender is configured with: variables `SMS_SENDER_…`, or files of the same names."""

from datetime import timedelta

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict
from spacehub.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read by `app` alone.

    `gateway_grammar` names what the carrier's replies mean (see `replies`). `gateway_deadline` is for all of one call.
    The two `…_concurrency` are texts in hand at once per lane and process. `phone_key` keys the hashes of phone
    numbers: with another key, older records are no longer found by number.
    """

    model_config = SettingsConfigDict(env_prefix="SMS_SENDER_")

    gateway_url: str
    gateway_username: str
    gateway_password: SecretStr
    gateway_from: str = "131344"
    gateway_grammar: str = "131344"
    gateway_deadline: timedelta = timedelta(seconds=10)
    phone_key: SecretStr
    critical_concurrency: int = 10
    standard_concurrency: int = 50
