"""Settings come from the environment, stay as they are, and keep their secrets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict
from spacehub.settings import ServiceSettings

GIVEN = {
    "TEST_DATABASE_URL": "postgresql://u:s3cret@host/db",
    "TEST_AMQP_URL": "amqp://u:s3cret@host/",
    "TEST_HEALTH_PORT": "8080",
}


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TEST_")


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_values_come_from_variables_of_the_service() -> None:
    with environment(**GIVEN, TEST_QUIET_HOURS="off", AMQP_URL="amqp://another/"):
        settings = Settings()

    assert settings.amqp_url.get_secret_value() == GIVEN["TEST_AMQP_URL"]
    assert (settings.health_port, settings.quiet_hours) == (8080, "off")


def test_quiet_hours_are_those_of_production_unless_told() -> None:
    with environment(**GIVEN):
        settings = Settings()

    assert (settings.quiet_hours, settings.health_host) == ("22:00-08:00", "127.0.0.1")


@pytest.mark.parametrize("missing", ["TEST_DATABASE_URL", "TEST_AMQP_URL", "TEST_HEALTH_PORT"])
@pytest.mark.parametrize("left", [{}, {"empty": ""}], ids=["absent", "empty"])
def test_missing_value_is_named_and_the_others_are_not_told(missing: str, left: dict[str, str]) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing} | dict.fromkeys([missing] * len(left), "")

    with environment(**given), pytest.raises(ValidationError) as refusal:
        Settings()

    assert missing.removeprefix("TEST_").lower() in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_secrets_are_not_shown() -> None:
    with environment(**GIVEN):
        settings = Settings()

    assert "s3cret" not in repr(settings) + str(settings) + str(settings.model_dump())


def test_settings_do_not_change() -> None:
    with environment(**GIVEN):
        settings = Settings()

    with pytest.raises(ValidationError):
        settings.health_port = 1  # type: ignore[misc]  # that it is refused is the point
