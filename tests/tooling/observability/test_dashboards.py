"""Static checks of the dashboards; no Grafana server is available to load them."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.observability.files import DASHBOARDS
from tests.support.paths import ROOT

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
WIDTH = 24


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """Return the cells of Grafana's grid that a panel covers."""
    position = panel["gridPos"]
    return {
        (x, y)
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    }


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_do_not_overlap(file: Path) -> None:
    panels = json.loads(file.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for first, second in combinations(panels, 2):
        assert not cells(first) & cells(second), (first["title"], second["title"])
    assert all(x < WIDTH for panel in panels for x, _ in cells(panel))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_uses_the_provisioned_data_source(file: Path) -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    dashboard = json.loads(file.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    sources = [panel["datasource"] for panel in panels]
    sources += [target["datasource"] for panel in panels for target in panel["targets"]]
    sources += [variable["datasource"] for variable in dashboard["templating"]["list"]]
    assert {used["uid"] for used in sources} == {source["uid"]}
    for panel in panels:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)


def test_dashboards_have_distinct_ids_and_titles() -> None:
    dashboards = [json.loads(file.read_text()) for file in DASHBOARDS]
    uids = {dashboard["uid"] for dashboard in dashboards}
    assert len(uids) == len({dashboard["title"] for dashboard in dashboards}) == 3
