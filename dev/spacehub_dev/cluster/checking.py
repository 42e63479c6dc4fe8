"""Checks the manifests of every overlay, without a cluster: fields and types, custom resources, and what is unsafe.

Run by `make check`, or alone: `spacehub-dev manifests`. An exception from a rule of checkov stands with its reason as
an annotation `checkov.io/skip1: RULE=reason` of the resource it is for.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from spacehub_dev.cluster.custom_resources.kinds import faults, is_custom
from spacehub_dev.cluster.rendering import CannotRender, Manifest, manifests, overlays
from spacehub_dev.cluster.tools import ToolsUnavailable, tool

VERSIONS = ("1.31", "1.37")
"""The oldest Kubernetes that the manifests are for, and the newest that was looked at."""


def check() -> int:
    """Print every fault; the exit code is 0 when there is none."""
    try:
        looked_at = [manifest for name in overlays() for manifest in manifests(name)]
        found = list(faults_of(looked_at))
    except (CannotRender, ToolsUnavailable) as reason:
        print(reason)
        return 1
    for line in found:
        print(line)
    print(f"{len(found)} faults in {len(looked_at)} manifests of {' and '.join(overlays())}")
    return 1 if found else 0


def faults_of(listed: Sequence[Manifest]) -> Iterator[str]:
    """What is wrong with these manifests, a line each. All at once: each tool takes seconds to start."""
    custom = [manifest for manifest in listed if is_custom(manifest)]
    known = [manifest for manifest in listed if not is_custom(manifest)]
    for manifest in custom:
        yield from faults(manifest)
    if not known:
        return
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "manifests.yaml"
        file.write_text(yaml.safe_dump_all(known), encoding="utf-8")
        for version in VERSIONS:
            yield from (f"Kubernetes {version}: {line}" for line in _invalid(file, version))
        yield from _unsafe(file)


def _invalid(file: Path, version: str) -> list[str]:
    """What Kubernetes' own schemas say; strict, or a misspelt field would pass. A kind they lack is a fault too."""
    command = [tool("kubernetes-validate"), "--strict", "--kubernetes-version", version, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    complaints = [line.replace(str(file), "").strip() for line in lines if line and not line.startswith("INFO")]
    return complaints or ([f"exit code {done.returncode}"] if done.returncode else [])


def _unsafe(file: Path) -> Iterator[str]:
    """What checkov finds; it asks no server for anything."""
    command = [tool("checkov"), "--file", str(file), "--framework", "kubernetes", "--skip-download", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        report: Any = json.loads(done.stdout)
        results = report["results"]
    except (ValueError, KeyError, TypeError):
        yield f"checkov: {(done.stdout + done.stderr)[-500:]}"
        return
    for failed in results["failed_checks"]:
        yield f"{failed['check_id']} {failed['resource']}: {failed['check_name']}"
    for skipped in results["skipped_checks"]:
        if not skipped["check_result"].get("suppress_comment", "").strip():
            yield f"{skipped['check_id']} {skipped['resource']}: an exception without a reason"
    if not results["passed_checks"]:
        yield "checkov: it has looked at nothing"


if __name__ == "__main__":
    raise SystemExit(check())
