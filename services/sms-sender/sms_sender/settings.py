"""What sms-sender is configured with: variables `SMS_SENDER_…`, or files of the same names."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict
from spacehub.settings import MountedSettings, ServiceSettings
from spacehub.topology import DEAD_LETTERS_KEPT

PREFIX = "SMS_SENDER_"
Ceiling = Annotated[int, Field(ge=2, le=1_000_000)]
Rate = Annotated[float, Field(ge=0.1, le=10_000)]


def _none_if_off(setting: object) -> object:
    return None if isinstance(setting, str) and setting.strip().lower() in ("", "off") else setting


class Settings(ServiceSettings):
    """Read by `app` alone.

    `gateway_grammar` names what the carrier's replies mean (see `replies`). `gateway_deadline` is for all of one call.
    `gateway_rate` is the most calls a second that the carrier takes from our account, from all senders together; `off`
    when it named none. `ceiling_per_minute` is the most SMS that we want to go out in a minute, of all senders
    together, whatever asks for them; `off` unless set. The two `…_concurrency` are texts at the carrier at once, per
    lane and process. `facts_batch` is how many facts are taken in together. `ledger_kept` is how long an SMS is
    remembered after its end: longer than a dead letter, which may be redriven. `phone_key` keys the hashes of phone
    numbers: with another key, older records are no longer found by number.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    gateway_url: str
    gateway_username: str
    gateway_password: SecretStr
    gateway_from: str = "131344"
    gateway_grammar: str = "131344"
    gateway_deadline: timedelta = timedelta(seconds=10)
    gateway_rate: Annotated[Rate | None, BeforeValidator(_none_if_off)] = None
    phone_key: SecretStr
    critical_concurrency: int = 10
    standard_concurrency: int = 50
    ceiling_per_minute: Annotated[Ceiling | None, BeforeValidator(_none_if_off)] = None
    facts_batch: int = 100
    ledger_kept: Annotated[timedelta, Field(ge=DEAD_LETTERS_KEPT + timedelta(days=1))] = timedelta(days=45)


class CommandSettings(MountedSettings):
    """What a person's command needs: the ledger's database, when it is not that of the development system."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    database_url: SecretStr | None = None
