"""What every service of ours is configured with; each adds its own fields and its own environment prefix."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRETS = Path("/run/secrets/spacehub")
"""Where a cluster mounts secrets as files named like the variables, lower case."""


class ProcessSettings(BaseSettings):
    """Read from the environment (`<PREFIX>AMQP_URL`) or from a mounted file of the same name.

    An empty variable is one that is not set. `quiet_hours` is a window `HH:MM-HH:MM` in Asia/Ulaanbaatar, or `off`.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    amqp_url: SecretStr
    health_host: str = "127.0.0.1"
    health_port: int
    quiet_hours: str = "22:00-08:00"
    log_level: str = "INFO"
    log_to_terminal: bool = False


class ServiceSettings(ProcessSettings):
    """For a service that owns a database."""

    database_url: SecretStr
