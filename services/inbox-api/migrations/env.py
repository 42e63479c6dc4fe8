"""Alembic's way in: everything is in `spacehub.migrating`."""

from spacehub.migrating import run_environment

run_environment()
