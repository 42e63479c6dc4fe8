"""Traces are off in a cluster until somebody says where they go, and then on for every service of ours."""

import os
from pathlib import Path

import pytest
import yaml
from spacehub.settings import TraceSettings
from spacehub_dev.cluster.rendering import OVERLAYS as FOLDER
from spacehub_dev.cluster.rendering import rendered

from tests.cluster_manifests import OVERLAYS, Cluster
from tests.compose_file import ROOT, variables

TRACES = FOLDER.parent / "traces"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_traces_are_off_unless_somebody_asks_for_them(overlay: str) -> None:
    told = [name for found in Cluster(overlay).of("ConfigMap") for name in found["data"]]

    assert not [name for name in told if name.startswith("OTEL_")]


def test_one_line_in_the_overlay_switches_them_on_for_every_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(path: Path) -> str:
        return os.path.relpath(path.resolve(), tmp_path.resolve())

    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": [seen(FOLDER / "production")], "components": [seen(TRACES)]}), encoding="utf-8"
    )
    wanted = variables((TRACES / "traces.env").read_text(encoding="utf-8"))

    manifests = list(yaml.safe_load_all(rendered(tmp_path)))

    maps = {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}
    on = {name.rpartition("-")[0]: told for name, told in maps.items() if wanted.items() <= told.items()}
    assert set(on) == {path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml")}
    assert len(on["sms-sender"]) > len(wanted)  # it is told the rest all the same
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    assert TraceSettings().exporter == "otlp"
    assert ".monitoring.svc:4318" in wanted["OTEL_EXPORTER_OTLP_ENDPOINT"]  # where the policies let them
