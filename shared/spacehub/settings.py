"""What every service of ours is configured with; each adds its own fields and its own environment prefix."""

from pathlib import Path
from typing import Literal

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


TraceExporter = Literal["otlp", "console"]


class TraceSettings(BaseSettings):
    """OpenTelemetry's own variables, as far as they say whether a process makes traces; its SDK reads the others.

    An endpoint, or an exporter's name, switches them on. https://opentelemetry.io/docs/specs/otel/protocol/exporter/
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    otel_sdk_disabled: bool = False
    otel_traces_exporter: Literal["otlp", "console", "none"] | None = None
    otel_exporter_otlp_endpoint: str | None = None
    otel_exporter_otlp_traces_endpoint: str | None = None
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_exporter_otlp_traces_protocol: Literal["http/protobuf"] = "http/protobuf"

    @property
    def exporter(self) -> TraceExporter | None:
        """Where spans go; None: nowhere, and nothing of OpenTelemetry is loaded."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return None
        if self.otel_traces_exporter is not None:
            return self.otel_traces_exporter
        return "otlp" if self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint else None


class ServiceSettings(ProcessSettings):
    """For a service that owns a database."""

    database_url: SecretStr
