"""What devices-api is configured with; every name in the environment starts with `DEVICES_API_`."""

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from spacehub.auth.settings import TokenSettings


class Settings(TokenSettings):
    """`internal_secret` is what push-sender must send; `connections` to the database, of each process."""

    model_config = SettingsConfigDict(env_prefix="DEVICES_API_")

    http_host: str = "127.0.0.1"
    http_port: int
    internal_host: str = "127.0.0.1"
    internal_port: int
    internal_secret: Annotated[SecretStr, Field(min_length=16)]
    connections: Annotated[int, Field(gt=0, le=100)] = 10
