"""What the scheduler is configured with: variables `SCHEDULER_…`, or files of the same names."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict
from spacehub.settings import ServiceSettings

from scheduler import slots

Days = Annotated[int, Field(gt=0)]


class Settings(ServiceSettings):
    """Read by `app` alone.

    The two `…_cron` are cron expressions in Asia/Ulaanbaatar's time. `release_rate` is how many timers all schedulers
    together fire in a second at most. `safety_poll`: how long the clock sleeps at most, in case a wake-up was lost.
    `facts_kept`: how long the id of a fact guards against a second copy; it must outlive the dead letters (30 days).
    """

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_")

    prune_cron: str = "0 4 * * 1"
    prune_older_than_days: Days = 60
    retention_cron: str = "30 3 * * *"
    read_older_than_days: Days = 90
    settled_older_than_days: Days = 180
    release_rate: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 50.0
    safety_poll: Annotated[timedelta, Field(gt=timedelta(), le=timedelta(hours=1))] = timedelta(seconds=60)
    facts_batch: Annotated[int, Field(gt=0, le=1000)] = 200
    facts_kept: Annotated[timedelta, Field(ge=timedelta(days=31))] = timedelta(days=180)

    @field_validator("prune_cron", "retention_cron")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        slots.parse(value)
        return value
