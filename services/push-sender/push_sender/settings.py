"""What push-sender is configured with: variables `PUSH_SENDER_…`, or files of the same names."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from spacehub import quiet_hours
from spacehub.settings import ProcessSettings

Count = Annotated[int, Field(gt=0, le=1000)]


class Settings(ProcessSettings):
    """Read by `app` alone.

    `fcm_credentials_file` is the service account's key as the Firebase console hands it out; its `token_uri` says
    where access tokens come from. `fcm_base_url` is FCM itself unless a simulator stands in for it. `fcm_timeout` is
    for all of one message. `fcm_connections` are messages on their way at once, per lane and process; the batches are
    in pushes. `devices_url` and `devices_secret` are for the internal call of devices-api.
    """

    model_config = SettingsConfigDict(env_prefix="PUSH_SENDER_")

    fcm_project: Annotated[str, Field(min_length=1)]
    fcm_credentials_file: Path
    fcm_base_url: str = "https://fcm.googleapis.com"
    fcm_timeout: timedelta = timedelta(seconds=10)
    fcm_connections: Count = 100
    devices_url: str
    devices_secret: SecretStr
    devices_timeout: timedelta = timedelta(seconds=5)
    critical_batch: Count = 20
    critical_workers: Count = 4
    standard_batch: Count = 100
    standard_workers: Count = 4

    @field_validator("quiet_hours")
    @classmethod
    def _is_a_window(cls, value: str) -> str:
        quiet_hours.parse(value)
        return value
