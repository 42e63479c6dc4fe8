"""Alembic's entry: the same environment for every service."""

from spacehub.migrating import run_environment

run_environment()
