"""Kubernetes manifests: valid YAML, complete, consistent, and with existing settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from integrator.settings import PREFIX, Settings
from tests.support.paths import ROOT

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
"""API versions of these kinds in Kubernetes 1.25 and later."""

Manifest = dict[str, Any]
OBJECTS: list[Manifest] = [
    manifest for file in FILES for manifest in yaml.safe_load_all(file.read_text()) if manifest
]
WORKLOADS = [manifest for manifest in OBJECTS if manifest["kind"] in ("Deployment", "Job")]
CONFIG: dict[str, str] = next(
    manifest["data"] for manifest in OBJECTS if manifest["kind"] == "ConfigMap"
)
KNOWN = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
SECRET_KEYS = {"keys", "database_url", "codec_token"}
"""Keys of the Secret in docs/kubernetes.md."""


def name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def pod(manifest: Manifest) -> Manifest:
    result: Manifest = manifest["spec"]["template"]["spec"]
    return result


def container(manifest: Manifest) -> Manifest:
    (result,) = pod(manifest)["containers"]
    return dict(result)


def environment(manifest: Manifest) -> dict[str, str]:
    """Return the container's environment variables."""
    uses_config_map = any(
        "configMapRef" in source for source in container(manifest).get("envFrom", ())
    )
    result = dict(CONFIG) if uses_config_map else {}
    for variable in container(manifest).get("env", ()):
        reference = variable.get("valueFrom", {}).get("configMapKeyRef")
        result[variable["name"]] = CONFIG[reference["key"]] if reference else variable["value"]
    return result


def test_kinds_names_and_versions() -> None:
    assert {manifest["kind"] for manifest in OBJECTS} == set(VERSIONS)
    for manifest in OBJECTS:
        assert manifest["apiVersion"] == VERSIONS[manifest["kind"]]
    identities = [(manifest["kind"], name(manifest)) for manifest in OBJECTS]
    assert len(identities) == len(set(identities))
    assert {name(manifest) for manifest in WORKLOADS} == {
        "integrator-api",
        "integrator-worker",
        "integrator-codec-server",
        "integrator-migrate",
    }


@pytest.mark.parametrize("manifest", WORKLOADS, ids=name)
class TestWorkload:
    def test_labels_match_the_selector(self, manifest: Manifest) -> None:
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert labels == manifest["metadata"]["labels"]
        if manifest["kind"] == "Deployment":
            assert manifest["spec"]["selector"]["matchLabels"] == labels

    def test_the_command_exists(self, manifest: Manifest) -> None:
        image = container(manifest)["image"]
        assert image == "registry.example/payment-integrator:latest"
        command = container(manifest)["command"]
        if command[0] == "integrator":
            assert command == ["integrator", "migrate"]
        else:
            assert command[:2] == ["python", "-m"]
            module = ROOT / command[2].replace(".", "/")
            assert (module / "__main__.py").exists() or module.with_suffix(".py").exists()

    def test_settings_exist_and_are_valid(self, manifest: Manifest, tmp_path: Path) -> None:
        variables = environment(manifest)
        assert set(variables) <= KNOWN
        fields = {key.removeprefix(PREFIX).lower(): value for key, value in variables.items()}
        for field, value in fields.items():
            if field.endswith("_file"):
                (tmp_path / field).write_text("x")
                assert value.startswith("/run/secrets/integrator/")
                fields[field] = str(tmp_path / field)
        assert Settings.model_validate(fields).profile == "production"

    def test_secrets_are_mounted_at_the_paths_in_the_settings(self, manifest: Manifest) -> None:
        (volume,) = [v for v in pod(manifest)["volumes"] if v["name"] == "secrets"]
        assert volume["secret"]["secretName"] == "integrator"
        assert volume["secret"]["defaultMode"] == 0o440
        (mount,) = [m for m in container(manifest)["volumeMounts"] if m["name"] == "secrets"]
        items = volume["secret"]["items"]
        assert {item["key"] for item in items} <= SECRET_KEYS
        mounted = {f"{mount['mountPath']}/{item['path']}" for item in items}
        named = {value for key, value in environment(manifest).items() if key.endswith("_FILE")}
        assert mounted == named

    def test_has_minimal_privileges(self, manifest: Manifest) -> None:
        spec = pod(manifest)
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] == "integrator"
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        uid = (ROOT / "Dockerfile").read_text().partition("--uid ")[2].split()[0]
        assert str(context["runAsUser"]) == uid
        assert context["fsGroup"] == context["runAsGroup"]
        assert container(manifest)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_has_resource_requests_and_limits(self, manifest: Manifest) -> None:
        resources = container(manifest)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}

    def test_services_set_no_variables(self, manifest: Manifest) -> None:
        """By default the Service `integrator-api` sets INTEGRATOR_API_PORT, a setting, to a URL."""
        assert pod(manifest)["enableServiceLinks"] is False

    def test_probes_use_its_own_port_and_health_paths(self, manifest: Manifest) -> None:
        result = container(manifest)
        ports = {port["name"] for port in result.get("ports", ())}
        if manifest["kind"] == "Deployment":
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert result[probe]["httpGet"]["port"] in ports
                assert result[probe]["httpGet"]["path"] in ("/healthz", "/readyz")


@pytest.mark.parametrize("workload", ["integrator-api", "integrator-worker"])
def test_only_readiness_depends_on_other_services(workload: str) -> None:
    (manifest,) = [manifest for manifest in WORKLOADS if name(manifest) == workload]
    probes = container(manifest)
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_the_worker_is_probed_where_it_serves_its_health() -> None:
    (manifest,) = [manifest for manifest in WORKLOADS if name(manifest) == "integrator-worker"]
    (port,) = container(manifest)["ports"]
    assert port == {
        "name": "metrics",
        "containerPort": Settings.model_fields["worker_metrics_port"].default,
    }
    assert environment(manifest)["INTEGRATOR_METRICS_BIND"] == "0.0.0.0"  # noqa: S104


def test_an_autoscaled_deployment_does_not_set_its_replicas() -> None:
    scaled = {
        manifest["spec"]["scaleTargetRef"]["name"]
        for manifest in OBJECTS
        if manifest["kind"] == "HorizontalPodAutoscaler"
    }
    assert scaled == {"integrator-api"}
    for manifest in WORKLOADS:
        if manifest["kind"] == "Deployment":
            assert ("replicas" in manifest["spec"]) is (name(manifest) not in scaled)


def test_the_grace_period_covers_drain_and_open_requests() -> None:
    (api,) = [manifest for manifest in WORKLOADS if name(manifest) == "integrator-api"]
    longest = Settings.model_fields["sync_budget_seconds"].default + 5
    drain = float(CONFIG["INTEGRATOR_DRAIN_SECONDS"])
    assert pod(api)["terminationGracePeriodSeconds"] >= drain + longest + 5
    probe = container(api)["readinessProbe"]
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]


def test_services_and_budgets_select_existing_pods() -> None:
    labels = [manifest["spec"]["template"]["metadata"]["labels"] for manifest in WORKLOADS]
    for manifest in OBJECTS:
        if manifest["kind"] == "Service":
            assert manifest["spec"]["selector"] in labels
            assert [port["targetPort"] for port in manifest["spec"]["ports"]] == ["http"]
        if manifest["kind"] == "PodDisruptionBudget":
            assert manifest["spec"]["selector"]["matchLabels"] in labels
        if manifest["kind"] == "HorizontalPodAutoscaler":
            assert manifest["spec"]["scaleTargetRef"]["name"] in {name(w) for w in WORKLOADS}
            assert manifest["spec"]["minReplicas"] >= 2


def test_network_policies_select_existing_components() -> None:
    key = "app.kubernetes.io/component"
    components = {manifest["metadata"]["labels"][key] for manifest in WORKLOADS}
    policies = [manifest["spec"] for manifest in OBJECTS if manifest["kind"] == "NetworkPolicy"]
    closed = [policy for policy in policies if set(policy["policyTypes"]) == {"Ingress", "Egress"}]
    assert [policy["podSelector"] for policy in closed] == [
        {"matchLabels": {"app.kubernetes.io/name": "integrator"}}
    ]
    assert all("ingress" not in policy for policy in closed)
    for policy in policies:
        for expression in policy["podSelector"].get("matchExpressions", ()):
            assert expression["key"] == key
            assert set(expression["values"]) <= components


def test_every_manifest_is_documented() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    manifests = [file.name for file in (ROOT / "deploy" / "kubernetes").iterdir()]
    assert manifests
    assert [name for name in manifests if f"`{name}`" not in text] == []
