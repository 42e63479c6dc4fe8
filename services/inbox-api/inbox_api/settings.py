"""What inbox-api is configured with; every name in the environment starts with `INBOX_API_`."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from spacehub import quiet_hours
from spacehub.auth.settings import TokenSettings
from spacehub.settings import ServiceSettings

PREFIX = "INBOX_API_"
_ENVIRONMENT = SettingsConfigDict(env_prefix=PREFIX)


class Settings(ServiceSettings):
    """For all but `serve`. `phone_key` is the key of the hashes by which phone numbers are looked up.

    The batches are in events. `seal_key` keeps requests unreadable while their end is awaited; under another key they
    cannot be asked for again. A delivery without an end is looked at `check_after` it was due, `check_batch` of them
    every `check_every`.
    """

    model_config = _ENVIRONMENT

    phone_key: Annotated[SecretStr, Field(min_length=16)]
    seal_key: Annotated[SecretStr, Field(min_length=16)]
    standard_batch: Annotated[int, Field(gt=0, le=1000)] = 200
    critical_batch: Annotated[int, Field(gt=0, le=1000)] = 20
    critical_workers: Annotated[int, Field(gt=0, le=16)] = 4
    outcomes_batch: Annotated[int, Field(gt=0, le=1000)] = 200
    check_after: Annotated[timedelta, Field(gt=timedelta(), le=timedelta(days=1))] = timedelta(minutes=10)
    check_every: Annotated[timedelta, Field(gt=timedelta(), le=timedelta(hours=1))] = timedelta(seconds=5)
    check_batch: Annotated[int, Field(gt=0, le=5000)] = 500

    @field_validator("quiet_hours")
    @classmethod
    def _is_a_window(cls, value: str) -> str:
        quiet_hours.parse(value)
        return value


class ApiSettings(TokenSettings):
    """For `serve`. `connections` to the database are shared by the calls and the streams.

    `phone_key` is that of the other processes: operations look deliveries up by phone. Streams look for new rows every
    `stream_look`; a user and a process may hold so many of them.
    """

    model_config = _ENVIRONMENT

    phone_key: Annotated[SecretStr, Field(min_length=16)]
    http_host: str = "127.0.0.1"
    http_port: int
    connections: Annotated[int, Field(gt=0, le=100)] = 16
    stream_heartbeat: Annotated[timedelta, Field(ge=timedelta(milliseconds=10))] = timedelta(seconds=15)
    stream_look: Annotated[timedelta, Field(ge=timedelta(milliseconds=10))] = timedelta(milliseconds=500)
    streams_of_a_user: Annotated[int, Field(ge=0)] = 10
    streams_of_the_process: Annotated[int, Field(ge=0)] = 2000


class CommandSettings(BaseSettings):
    """What a person's command needs, when it is not for the development system."""

    model_config = SettingsConfigDict(**{**ServiceSettings.model_config, **_ENVIRONMENT})

    database_url: SecretStr | None = None
    phone_key: Annotated[SecretStr, Field(min_length=16)] | None = None
