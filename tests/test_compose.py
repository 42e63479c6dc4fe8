"""docker-compose.yml starts the system that the launcher starts, and tells every process what it needs."""

import re
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from spacehub import permissions
from spacehub.cli.connecting import AmqpUrl, ManagementUrl
from spacehub.cli.passwords import variable
from spacehub.settings import TraceSettings
from spacehub_dev.launcher.processes import Plan, ProcessSpec
from spacehub_dev.provisioning import haproxy

from tests.compose_file import EXAMPLE, ROOT, TEXT, VARIABLE, Service, development, merged_twice, services, variables
from tests.launched import plan_in, settings_of

ENV = development()
SERVICES = services(ENV)
OURS = [service for service in SERVICES.values() if service.is_ours]
SIMULATORS = {"sms-simulator", "fcm-simulator"}
PROCESSES = [service for service in OURS if service.content["restart"] == "unless-stopped"]
CONFIGURED = [service for service in OURS if service.command[0] == service.package]
"""Those that run a service's own command, and so read its settings."""
OF_OPENTELEMETRYS_SDK = {"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}

PRIVATE = re.compile("PASSWORD|SECRET|_KEY$")


def by_name(service: Service) -> str:
    return service.name


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_in(tmp_path_factory.mktemp("launcher"))


def test_every_process_of_the_launcher_has_its_service(plan: Plan) -> None:
    names = {name_in_compose(spec) for spec in [*plan.migrations, *plan.topology, *plan.processes]}

    assert set(SERVICES) == names | {"rabbitmq", "postgres", "development-keys"}


def test_merged_mappings_have_no_key_in_common() -> None:
    """The first one's value counts, says YAML; readers differ (PyYAML 6.0.3 and 6.0.4 do), so none has to choose."""
    assert merged_twice() == set()


def test_processes_run_the_commands_that_the_launcher_runs(plan: Plan) -> None:
    for spec in [*plan.migrations, *plan.topology, *plan.processes]:
        service = SERVICES[name_in_compose(spec)]
        if service.name not in {"gateway", *SIMULATORS}:
            assert service.command == [Path(spec.command[0]).name, *spec.command[1:]]


def test_processes_are_told_whatever_the_launcher_tells_them(plan: Plan) -> None:
    for spec in [*plan.migrations, *plan.topology, *plan.processes]:
        service = SERVICES[name_in_compose(spec)]
        assert set(spec.environment) - set(service.environment) <= {"SMS_SENDER_GATEWAY_FROM"}, service.name


@pytest.mark.parametrize("service", CONFIGURED, ids=by_name)
def test_settings_of_every_process_are_complete(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = settings_of(service.package)
    chosen = classes.get("ApiSettings", classes["Settings"]) if "serve" in service.command else classes["Settings"]
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)

    settings: Any = chosen()

    assert settings.health_host == "0.0.0.0"
    assert settings.quiet_hours == "22:00-08:00"


@pytest.mark.parametrize("service", CONFIGURED, ids=by_name)
def test_no_process_is_told_what_nobody_reads(service: Service) -> None:
    prefix = f"{service.package.replace('-', '_').upper()}_"
    known = {prefix + field.upper() for each in settings_of(service.package).values() for field in each.model_fields}
    traces = {field.upper() for field in TraceSettings.model_fields}

    assert set(service.environment) - known - traces == OF_OPENTELEMETRYS_SDK


def test_the_gateway_the_topology_and_the_simulators_are_told_what_they_read() -> None:
    needed = re.findall(r"\$\{([A-Z_]+):\?\}", (ROOT / "deploy" / "gateway" / "start").read_text(encoding="utf-8"))
    options = {get_args(option)[1].envvar[0] for option in (AmqpUrl, ManagementUrl)}

    assert set(needed) <= set(SERVICES["gateway"].environment)
    assert set(SERVICES["topology-apply"].environment) == options
    assert set(SERVICES["topology-keep"].environment) == options | {"SPACEHUB_HEALTH_HOST", "SPACEHUB_HEALTH_PORT"}
    pages = {"SPACEHUB_HEALTH_HOST", "SPACEHUB_HEALTH_PORT"}
    keys = {"SPACEHUB_KEYS", "SPACEHUB_JWKS_URL", "SPACEHUB_JWKS_FILE"}
    assert set(SERVICES["keys-keep"].environment) == keys | pages
    assert set(SERVICES["sms-simulator"].environment) == {"SIMULATOR_USERNAME", "SIMULATOR_PASSWORD"}


def test_each_process_knows_the_broker_as_its_own_user_and_only_one_as_the_administrator() -> None:
    for service in OURS:
        urls = [urlsplit(value) for name, value in service.environment.items() if "AMQP" in name or "MANAGE" in name]
        owner = service.package if service in CONFIGURED else permissions.TOPOLOGY
        assert {url.username for url in urls} <= {"spacehub" if service.name == "topology-users" else owner}


def test_every_user_of_the_broker_is_given_a_password() -> None:
    given = SERVICES["topology-users"].environment

    assert {name for name in given if "PASSWORD" in name} == {variable(user) for user in permissions.names()}
    assert len(set(given.values())) == len(given)


def test_every_address_leads_to_a_service_that_listens_there() -> None:
    addresses = [
        (service.name, value if "://" in value else f"tcp://{value}")
        for service in SERVICES.values()
        for name, value in service.environment.items()
        if name.endswith(("_URL", "_ADDRESS")) and value
    ]

    assert len(addresses) > 20
    for name, address in addresses:
        host, port = urlsplit(address).hostname, urlsplit(address).port
        assert port in SERVICES[host or ""].ports, f"{name}: {host}:{port}"


def test_every_published_port_is_one_that_is_listened_on_and_only_here() -> None:
    published = [(service, port) for service in SERVICES.values() for port in service.content.get("ports", [])]

    assert len({port.split(":")[1] for _, port in published}) == len(published) == 5
    for service, port in published:
        interface, _, inside = port.split(":")
        assert interface == "127.0.0.1"
        assert int(inside) in service.ports


def test_processes_wait_for_what_they_need() -> None:
    for service in PROCESSES:
        if service.name in SIMULATORS:
            continue
        if service.name != "keys-keep":
            assert service.waits_for["topology-apply"] == "service_completed_successfully"
        if f"{service.package}-migrate" in SERVICES and service in CONFIGURED:
            assert service.waits_for[f"{service.package}-migrate"] == "service_completed_successfully"
        if "volumes" in service.content:
            assert service.waits_for["development-keys"] == "service_completed_successfully"
    assert SERVICES["topology-users"].waits_for == {"rabbitmq": "service_healthy"}
    assert SERVICES["topology-apply"].waits_for == {"topology-users": "service_completed_successfully"}
    for migrate in (service for service in OURS if service.name.endswith("-migrate")):
        assert migrate.waits_for == {"postgres": "service_healthy"}
    apis = {"inbox-api-serve": "service_healthy", "devices-api-serve": "service_healthy"}
    assert SERVICES["gateway"].waits_for == {**apis, "keys-keep": "service_started"}


def test_what_must_be_healthy_says_so() -> None:
    awaited = {
        name for service in SERVICES.values() for name, how in service.waits_for.items() if how == "service_healthy"
    }

    for name in awaited:
        checked = SERVICES[name].content.get("healthcheck", {}) or {"test": "the image's"}
        assert "test" in checked
    assert [service.name for service in PROCESSES if service.content.get("healthcheck", {}).get("disable")] == []


@pytest.mark.parametrize("service", [*OURS, SERVICES["gateway"]], ids=by_name)
def test_containers_of_ours_may_do_little_and_have_time_to_drain(service: Service) -> None:
    content = service.content

    assert content["read_only"] is True
    assert content["cap_drop"] == ["ALL"]
    assert content["security_opt"] == ["no-new-privileges:true"]
    assert int(content["stop_grace_period"].removesuffix("s")) > 20


def test_simulators_are_no_part_of_a_system_that_did_not_ask_for_them() -> None:
    optional = {service.name for service in SERVICES.values() if service.content.get("profiles")}

    assert optional == {"development-keys", *SIMULATORS}
    for service in SERVICES.values():
        for name in optional & set(service.waits_for):
            assert service.content["depends_on"][name]["required"] is False


def test_no_secret_has_a_default() -> None:
    private = [found for found in VARIABLE.finditer(TEXT) if PRIVATE.search(found["name"])]
    told = variables(EXAMPLE)

    assert len(private) > 10
    assert {found["name"] for found in private if found["rule"] != "?"} == set()
    assert {found["name"] for found in private if told[found["name"]]} == set()


def test_a_system_that_was_told_nothing_does_not_start() -> None:
    with pytest.raises(LookupError, match="RABBITMQ_PASSWORD is not set"):
        services({})


def test_the_example_names_every_variable_that_must_be_set_and_none_that_is_not_read() -> None:
    required = {found["name"] for found in VARIABLE.finditer(TEXT) if found["rule"] == "?"}
    read = {found["name"] for found in VARIABLE.finditer(TEXT)}

    assert required <= set(variables(EXAMPLE))
    assert set(variables(EXAMPLE)) - read == {"COMPOSE_PROFILES"}


def test_keys_may_come_from_an_address_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    production = services(ENV | {"JWT_JWKS_FILE": "", "JWT_JWKS_URL": "https://auth.example/jwks.json"})
    service = production["devices-api-serve"]
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)

    settings: Any = settings_of(service.package)["Settings"]()

    assert settings.jwt_jwks_file is None
    assert str(settings.jwt_jwks_url) == "https://auth.example/jwks.json"


def test_the_gateway_finds_the_keys_where_they_are_kept() -> None:
    keeping, gateway = SERVICES["keys-keep"], SERVICES["gateway"]
    written, read = Path(keeping.environment["SPACEHUB_KEYS"]), Path(gateway.environment["JWT_KEYS"])

    assert written.name == read.name
    assert f"gateway-keys:{written.parent}" in keeping.content["volumes"]
    assert f"gateway-keys:{read.parent}:ro" in gateway.content["volumes"]
    assert gateway.environment["JWT_ISSUER"] == SERVICES["devices-api-serve"].environment["DEVICES_API_JWT_ISSUER"]
    assert gateway.environment["JWT_AUDIENCE"] == SERVICES["inbox-api-serve"].environment["INBOX_API_JWT_AUDIENCE"]


def test_the_gateway_is_the_one_that_is_tested() -> None:
    assert SERVICES["gateway"].content["image"] == haproxy.IMAGE


def name_in_compose(spec: ProcessSpec) -> str:
    """`sms-sender consume` runs in `sms-sender-consume`."""
    return spec.name.replace(" ", "-")
