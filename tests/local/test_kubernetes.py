"""The manifests: YAML, complete, of one piece, and with settings that exist."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from integrator.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
VERSIONS = {
    "ConfigMap": "v1",
    "ServiceAccount": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
}
"""What Kubernetes 1.25 and later know these by."""

Manifest = dict[str, Any]
OBJECTS: list[Manifest] = [
    one for file in FILES for one in yaml.safe_load_all(file.read_text()) if one
]
WORKLOADS = [one for one in OBJECTS if one["kind"] in ("Deployment", "Job")]
CONFIG: dict[str, str] = next(one["data"] for one in OBJECTS if one["kind"] == "ConfigMap")
KNOWN = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
SECRET_KEYS = {"keys", "database_url", "codec_token"}
"""What docs/kubernetes.md puts into the Secret."""


def name(one: Manifest) -> str:
    return str(one["metadata"]["name"])


def pod(one: Manifest) -> Manifest:
    found: Manifest = one["spec"]["template"]["spec"]
    return found


def container(one: Manifest) -> Manifest:
    (found,) = pod(one)["containers"]
    return dict(found)


def environment(one: Manifest) -> dict[str, str]:
    """Variables as the container has them."""
    whole = any("configMapRef" in source for source in container(one).get("envFrom", ()))
    found = dict(CONFIG) if whole else {}
    for variable in container(one).get("env", ()):
        given = variable.get("valueFrom", {}).get("configMapKeyRef")
        found[variable["name"]] = CONFIG[given["key"]] if given else variable["value"]
    return found


def test_kinds_and_names() -> None:
    assert {one["kind"] for one in OBJECTS} == set(VERSIONS)
    for one in OBJECTS:
        assert one["apiVersion"] == VERSIONS[one["kind"]]
    identities = [(one["kind"], name(one)) for one in OBJECTS]
    assert len(identities) == len(set(identities))
    assert {name(one) for one in WORKLOADS} == {
        "integrator-api",
        "integrator-worker",
        "integrator-codec-server",
        "integrator-migrate",
    }


@pytest.mark.parametrize("one", WORKLOADS, ids=name)
class TestWorkload:
    def test_labels_are_the_ones_selected_by(self, one: Manifest) -> None:
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert labels == one["metadata"]["labels"]
        if one["kind"] == "Deployment":
            assert one["spec"]["selector"]["matchLabels"] == labels

    def test_runs_the_image_with_a_command_that_exists(self, one: Manifest) -> None:
        image = container(one)["image"]
        assert image == "registry.example/payment-integrator:latest"
        command = container(one)["command"]
        if command[0] == "integrator":
            assert command == ["integrator", "migrate"]
        else:
            assert command[:2] == ["python", "-m"]
            module = ROOT / command[2].replace(".", "/")
            assert (module / "__main__.py").exists() or module.with_suffix(".py").exists()

    def test_settings_exist_and_are_valid(self, one: Manifest, tmp_path: Path) -> None:
        given = environment(one)
        assert set(given) <= KNOWN
        fields = {key.removeprefix(PREFIX).lower(): value for key, value in given.items()}
        for field, value in fields.items():
            if field.endswith("_file"):
                (tmp_path / field).write_text("x")
                assert value.startswith("/run/secrets/integrator/")
                fields[field] = str(tmp_path / field)
        assert Settings.model_validate(fields).profile == "production"

    def test_secrets_are_mounted_where_the_settings_look(self, one: Manifest) -> None:
        (volume,) = [one for one in pod(one)["volumes"] if one["name"] == "secrets"]
        assert volume["secret"]["secretName"] == "integrator"
        assert volume["secret"]["defaultMode"] == 0o440
        (mount,) = [m for m in container(one)["volumeMounts"] if m["name"] == "secrets"]
        items = volume["secret"]["items"]
        assert {item["key"] for item in items} <= SECRET_KEYS
        mounted = {f"{mount['mountPath']}/{item['path']}" for item in items}
        named = {value for key, value in environment(one).items() if key.endswith("_FILE")}
        assert mounted == named

    def test_has_no_more_rights_than_it_needs(self, one: Manifest) -> None:
        spec = pod(one)
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] == "integrator"
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        uid = (ROOT / "Dockerfile").read_text().partition("--uid ")[2].split()[0]
        assert str(context["runAsUser"]) == uid
        assert context["fsGroup"] == context["runAsGroup"]
        assert container(one)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_asks_for_what_it_gets(self, one: Manifest) -> None:
        resources = container(one)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}

    def test_is_probed_at_its_own_door(self, one: Manifest) -> None:
        found = container(one)
        ports = {port["name"] for port in found.get("ports", ())}
        if one["kind"] == "Deployment":
            assert "readinessProbe" in found
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "httpGet" in found.get(probe, {}):
                assert found[probe]["httpGet"]["port"] in ports
                assert found[probe]["httpGet"]["path"] in ("/healthz", "/readyz")


def test_only_readiness_depends_on_others() -> None:
    (api,) = [one for one in WORKLOADS if name(one) == "integrator-api"]
    probes = container(api)
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_an_api_pod_may_finish_what_it_has_begun() -> None:
    (api,) = [one for one in WORKLOADS if name(one) == "integrator-api"]
    longest = Settings.model_fields["sync_budget_seconds"].default + 5
    drain = float(CONFIG["INTEGRATOR_DRAIN_SECONDS"])
    assert pod(api)["terminationGracePeriodSeconds"] >= drain + longest + 5
    probe = container(api)["readinessProbe"]
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]


def test_services_and_budgets_find_their_pods() -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in WORKLOADS]
    for one in OBJECTS:
        if one["kind"] == "Service":
            assert one["spec"]["selector"] in labels
            assert [port["targetPort"] for port in one["spec"]["ports"]] == ["http"]
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["selector"]["matchLabels"] in labels
        if one["kind"] == "HorizontalPodAutoscaler":
            assert one["spec"]["scaleTargetRef"]["name"] in {name(w) for w in WORKLOADS}
            assert one["spec"]["minReplicas"] >= 2


def test_network_policies_name_components_that_exist() -> None:
    key = "app.kubernetes.io/component"
    components = {one["metadata"]["labels"][key] for one in WORKLOADS}
    policies = [one["spec"] for one in OBJECTS if one["kind"] == "NetworkPolicy"]
    closed = [one for one in policies if set(one["policyTypes"]) == {"Ingress", "Egress"}]
    assert [one["podSelector"] for one in closed] == [
        {"matchLabels": {"app.kubernetes.io/name": "integrator"}}
    ]
    assert all("ingress" not in one for one in closed)
    for policy in policies:
        for expression in policy["podSelector"].get("matchExpressions", ()):
            assert expression["key"] == key
            assert set(expression["values"]) <= components
