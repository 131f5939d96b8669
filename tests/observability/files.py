"""The files of deploy/ that watch over a stack, and the tools that read them."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RUNBOOK = ROOT / "docs" / "runbook.md"

_NAME = re.compile(r"\b(?:integrator|temporal|process|python)_[a-z0-9_]+\b")
_LABELS = re.compile(r"\{[^{}]*\}|\b(?:by|without) ?\([^()]*\)")


def tool(name: str) -> str:
    """A program of Debian's package `prometheus`; skips where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no `{name}` on the PATH (Debian: package `prometheus`)")
    return found


def rules() -> list[dict[str, Any]]:
    """All alert rules."""
    content = yaml.safe_load(RULES.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(_NAME.findall(_LABELS.sub(" ", expression)))
