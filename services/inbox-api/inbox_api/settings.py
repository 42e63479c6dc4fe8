"""What inbox-api is configured with; every name in the environment starts with `INBOX_API_`."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from spacehub import quiet_hours
from spacehub.settings import ServiceSettings


class Settings(ServiceSettings):
    """`phone_key` is the key of the hashes by which phone numbers are looked up; the batches are in events.

    `seal_key` keeps requests unreadable while their end is awaited; under another key they cannot be asked for again.
    A delivery without an end is looked at `check_after` it was due, `check_batch` of them every `check_every`.
    """

    model_config = SettingsConfigDict(env_prefix="INBOX_API_")

    phone_key: Annotated[SecretStr, Field(min_length=16)]
    seal_key: Annotated[SecretStr, Field(min_length=16)]
    standard_batch: Annotated[int, Field(gt=0, le=1000)] = 200
    standard_workers: Annotated[int, Field(gt=0, le=16)] = 2
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
