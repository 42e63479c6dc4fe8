"""What the launcher starts, and what the services' settings are: what compose file and manifests are held to."""

import importlib
from pathlib import Path

from pydantic_settings import BaseSettings
from spacehub_dev.launcher.parts import whole_system
from spacehub_dev.launcher.processes import Plan, Surroundings


def plan_in(directory: Path) -> Plan:
    """What the launcher starts when nobody has told it anything."""
    return whole_system(
        Surroundings(
            directory=directory,
            report=print,
            amqp_url="amqp://broker",
            management_url="http://broker",
            databases=dict.fromkeys(("devices", "inbox", "sms", "scheduler"), "postgresql://server"),
            port=lambda _: 1,
            secret=lambda name: name * 4,
            environment={},
            user_prefix="",
        )
    )


def settings_of(package: str) -> dict[str, type[BaseSettings]]:
    """The settings of a service such as `sms-sender`, by class name."""
    module = importlib.import_module(f"{package.replace('-', '_')}.settings")
    found = {name: each for name, each in vars(module).items() if isinstance(each, type)}
    return {
        name: each
        for name, each in found.items()
        if issubclass(each, BaseSettings) and each.model_config.get("env_prefix")
    }
