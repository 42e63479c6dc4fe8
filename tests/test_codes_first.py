"""Codes go first: whose work can wait gives way, wherever it runs, and the broker is told to keep its log short."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from spacehub_dev.launcher.processes import Plan, ProcessSpec
from spacehub_dev.provisioning.finding import Rabbit
from spacehub_dev.provisioning.rabbitmq import TOLD, PrivateRabbit

from tests.cluster_manifests import OVERLAYS, Cluster
from tests.compose_file import ROOT, development, services
from tests.launched import plan_in

PASSED_BY_CODES = {"inbox-api consume critical", "inbox-api forward", "sms-sender consume critical"}
PASSED_BY_CRITICAL_PUSHES = {"push-sender consume", "devices-api serve"}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_in(tmp_path_factory.mktemp("launcher"))


def test_those_give_way_whose_work_can_wait_and_nobody_whom_something_critical_passes(plan: Plan) -> None:
    names = {spec.name for spec in plan.processes}
    giving = {spec.name for spec in giving_way(plan)}

    assert giving == {"inbox-api consume", "sms-sender consume", "scheduler consume"}
    assert names >= PASSED_BY_CODES | PASSED_BY_CRITICAL_PUSHES
    assert giving & (PASSED_BY_CODES | PASSED_BY_CRITICAL_PUSHES) == set()


def test_containers_give_way_as_the_launcher_says(plan: Plan) -> None:
    shares = {name: service.content.get("cpu_shares", 1024) for name, service in services(development()).items()}

    assert {name for name, share in shares.items() if share < 1024} == {in_compose(spec) for spec in giving_way(plan)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_in_the_cluster_whoever_gives_way_asks_for_less_than_whoever_a_code_passes(plan: Plan, overlay: str) -> None:
    workloads = Cluster(overlay).workloads
    asked = {name: millicores(each.container["resources"]["requests"]["cpu"]) for name, each in workloads.items()}

    most = max(asked[in_compose(spec)] for spec in giving_way(plan))

    assert most < min(asked[name.replace(" ", "-")] for name in PASSED_BY_CODES)


def test_a_private_broker_starts_its_log_anew_before_it_is_large(rabbitmq_server: Rabbit) -> None:
    if not isinstance(rabbitmq_server, PrivateRabbit):
        pytest.skip("this broker is told by whoever runs it")

    said = rabbitmq_server.control("eval", "application:get_env(ra, wal_max_size_bytes).")

    assert said.strip() == "{ok,16777216}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_clusters_broker_is_told_what_private_ones_are(overlay: str) -> None:
    told = Cluster(overlay).named("RabbitmqCluster", "rabbitmq")["spec"]["rabbitmq"]["additionalConfig"]

    assert set(settings_in(TOLD.read_text())) - set(settings_in(told)) == set()
    assert settings_in(TOLD.read_text())


def test_the_containers_broker_is_told_by_the_same_file() -> None:
    [place] = [each for each in services(development())["rabbitmq"].content["volumes"] if each.startswith("./")]

    source, inside, mode = place.split(":")
    assert ROOT / Path(source) == TOLD
    assert inside.startswith("/etc/rabbitmq/conf.d/")
    assert mode == "ro"


def giving_way(plan: Plan) -> list[ProcessSpec]:
    return [spec for spec in plan.processes if spec.gives_way]


def in_compose(spec: ProcessSpec) -> str:
    return spec.name.replace(" ", "-")


def millicores(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000


def settings_in(text: str) -> Sequence[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
