"""The dashboards are such as Grafana can show: its server is not here to try them with."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.files import DASHBOARDS, ROOT

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
WIDTH = 24


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """The places of Grafana's grid that a panel takes."""
    at = panel["gridPos"]
    return {
        (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    }


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_no_panel_hides_another(file: Path) -> None:
    panels = json.loads(file.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations(panels, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert all(x < WIDTH for panel in panels for x, _ in cells(panel))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_asks_the_source_that_is_provisioned(file: Path) -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    dashboard = json.loads(file.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = [panel["datasource"] for panel in panels]
    asked += [target["datasource"] for panel in panels for target in panel["targets"]]
    asked += [variable["datasource"] for variable in dashboard["templating"]["list"]]
    assert {one["uid"] for one in asked} == {source["uid"]}
    for panel in panels:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)


def test_dashboards_are_told_apart() -> None:
    found = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert len({one["uid"] for one in found}) == len({one["title"] for one in found}) == 3
