"""The manifests as a cluster would get them: what kustomize makes of an overlay."""

import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from spacehub_dev.cluster.tools import ROOT, tool

OVERLAYS = ROOT / "deploy" / "k8s" / "overlays"

Manifest = Mapping[str, Any]


class CannotRender(Exception):
    """kustomize refused the folder; the text is what it said."""


def overlays() -> list[str]:
    """Their names."""
    return sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))


def rendered(folder: Path) -> str:
    """The YAML that `kubectl apply -k` would send for `folder`. Raises CannotRender, ToolsUnavailable."""
    command = [tool("kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    # What kustomize warns of is deprecated or without effect: a fault, before it becomes one in the cluster.
    if done.returncode != 0 or done.stderr:
        raise CannotRender(done.stderr)
    return done.stdout


@cache
def manifests(overlay: str) -> Sequence[Manifest]:
    """All that `overlay` consists of."""
    return tuple(yaml.safe_load_all(rendered(OVERLAYS / overlay)))
