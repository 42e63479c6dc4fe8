"""What every service of ours is configured with; each adds its own fields and its own environment prefix."""

import os
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from spacehub.secret import MountedSecret

SECRETS = "/run/secrets/spacehub"
"""Where a cluster mounts secrets: files named like the variables, in lower case. `SPACEHUB_SECRETS` moves it."""


def secrets_directory() -> Path | None:
    """The directory of mounted secrets, where there is one."""
    directory = Path(os.environ.get("SPACEHUB_SECRETS") or SECRETS)
    return directory if directory.is_dir() else None


def mounted(name: str) -> MountedSecret | None:
    """The secret mounted as a file named like the variable `name`, where there is one."""
    directory = secrets_directory()
    file = directory / name.lower() if directory else None
    return MountedSecret(file) if file and file.is_file() else None


class MountedSettings(BaseSettings):
    """Read from the environment (`<PREFIX>AMQP_URL`) or from a mounted file of the same name, lower case.

    An empty variable is one that is not set. A secret from a file is read again whenever it is asked for.
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _MountedFiles(settings_cls, secrets_directory())


class ProcessSettings(MountedSettings):
    """`quiet_hours` is a window `HH:MM-HH:MM` in Asia/Ulaanbaatar, or `off`."""

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


class _MountedFiles(SecretsSettingsSource):
    """The library's source for mounted files; what is secret keeps to its file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        if value and SecretStr in (field.annotation, *get_args(field.annotation)):
            [(_, name, _)] = self._extract_field_info(field, field_name)
            value = mounted(name) or value
        return value or None, key, is_complex
