"""Where PostgreSQL and RabbitMQ come from, in the order users are promised.

Given by URL; programs on this machine, as private instances; Docker; installed with apt; for PostgreSQL at last the
embedded wheel. A server that merely listens on a standard port is never used.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spacehub_dev.provisioning import apt, docker, postgres_binaries, rabbitmq
from spacehub_dev.provisioning.docker import DockerPostgres, DockerRabbit, DockerUnavailable
from spacehub_dev.provisioning.given import GivenRabbit, GivenServer
from spacehub_dev.provisioning.postgres import PrivatePostgres
from spacehub_dev.provisioning.rabbitmq import PrivateRabbit
from spacehub_dev.provisioning.servers import Report, ServerUnavailable

Postgres = GivenServer | PrivatePostgres | DockerPostgres
Rabbit = GivenRabbit | PrivateRabbit | DockerRabbit


def find_postgres(directory: Path, *, report: Report, durable: bool = True) -> Postgres:
    """A PostgreSQL, not yet started, with its data under `directory`. Raises ServerUnavailable."""
    if url := os.environ.get("DATABASE_URL"):
        return GivenServer(url, "DATABASE_URL")
    if binaries := postgres_binaries.installed_binaries():
        return PrivatePostgres(binaries, directory, durable=durable)
    reasons = []
    try:
        docker.require_engine()
        return DockerPostgres(directory, report=report)
    except DockerUnavailable as reason:
        reasons.append(f"Docker: {reason}")
    try:
        report("PostgreSQL: not on this machine, installing it with apt (not started as a service)")
        apt.install("postgresql", report=report)
        if binaries := postgres_binaries.installed_binaries():
            return PrivatePostgres(binaries, directory, durable=durable)
        reasons.append("apt: installed, but initdb is nowhere")
    except apt.AptUnavailable as reason:
        reasons.append(f"apt: {reason}")
    try:
        return PrivatePostgres(postgres_binaries.binaries_from_wheel(directory, report), directory, durable=durable)
    except ServerUnavailable as reason:
        reasons.append(f"wheel: {reason}")
    raise ServerUnavailable(_nowhere("PostgreSQL", "DATABASE_URL", reasons))


def find_rabbitmq(
    directory: Path, *, report: Report, config: Sequence[str] = (), binaries: Path | None = None
) -> Rabbit:
    """A RabbitMQ, not yet started, with its data under `directory`. Raises ServerUnavailable.

    `config`: further lines for rabbitmq.conf. `binaries`: another RabbitMQ's directory of scripts, wanted explicitly;
    so is one named in RABBITMQ_BINARIES (see `dev/rabbitmq-root/make`), to try another version.
    """
    if binaries is None and (named := os.environ.get("RABBITMQ_BINARIES")):
        binaries = rabbitmq.binaries_in(Path(named))
    if binaries is not None:
        return PrivateRabbit(binaries, directory, config=config)
    if url := os.environ.get("AMQP_URL"):
        return GivenRabbit(url, "AMQP_URL")
    if found := rabbitmq.installed_binaries():
        return PrivateRabbit(found, directory, config=config)
    reasons = []
    try:
        docker.require_engine()
        return DockerRabbit(directory, config=config, report=report)
    except DockerUnavailable as reason:
        reasons.append(f"Docker: {reason}")
    try:
        report("RabbitMQ: not on this machine, installing it with apt (not started as a service)")
        apt.install("rabbitmq-server", report=report)
        if found := rabbitmq.installed_binaries():
            return PrivateRabbit(found, directory, config=config)
        reasons.append("apt: installed, but rabbitmq-server is nowhere")
    except apt.AptUnavailable as reason:
        reasons.append(f"apt: {reason}")
    raise ServerUnavailable(_nowhere("RabbitMQ", "AMQP_URL", reasons))


@contextmanager
def provisioned_postgres(directory: Path, *, report: Report, durable: bool = True) -> Iterator[Postgres]:
    """A running PostgreSQL that is gone, data and all, when the block ends; for tests, faults and benchmarks."""
    server = find_postgres(directory, report=report, durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.discard()


@contextmanager
def provisioned_rabbitmq(
    directory: Path, *, report: Report, config: Sequence[str] = (), binaries: Path | None = None
) -> Iterator[Rabbit]:
    """A running RabbitMQ that is gone, messages and all, when the block ends; for tests, faults and benchmarks."""
    server = find_rabbitmq(directory, report=report, config=config, binaries=binaries)
    try:
        server.start()
        yield server
    finally:
        server.discard()


def _nowhere(name: str, variable: str, reasons: list[str]) -> str:
    tried = "\n".join(f"  - {reason}" for reason in reasons)
    return f"{name} cannot be had on this machine:\n{tried}\nInstall it, start Docker, or set {variable}."
