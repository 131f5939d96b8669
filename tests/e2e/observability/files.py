"""The monitoring files of deploy/, and the tools that read them."""

import re
import shutil
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
ALERTMANAGER = ROOT / "deploy" / "alertmanager"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RUNBOOK = ROOT / "docs" / "runbook.md"

_NAME = re.compile(r"\b(?:integrator|temporal|process|python)_[a-z0-9_]+\b")
_LABELS = re.compile(r"\{[^{}]*\}|\b(?:by|without) ?\([^()]*\)")


def find_tool(name: str) -> str:
    """Return the path of a program of Prometheus or Alertmanager; skip without it.

    Debian's package names the latter `prometheus-alertmanager`.
    """
    path = shutil.which(name) or shutil.which(f"prometheus-{name}")
    if path is None:
        pytest.skip(
            f"`{name}` is not on the PATH (Debian: `prometheus`, `prometheus-alertmanager`)"
        )
    return path


def load_rules() -> list[dict[str, Any]]:
    """Return all alert rules."""
    content = yaml.safe_load(RULES.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def find_metrics(expression: str) -> set[str]:
    """Return the metrics in an expression."""
    return set(_NAME.findall(_LABELS.sub(" ", expression)))
