"""Test newer versions and digests of images with recorded outputs of programs."""

from datetime import date

import pytest

from devtools.outdated.errors import OutdatedError
from devtools.outdated.images import check_images, resolve_digests
from devtools.outdated.programs import Completed
from devtools.outdated.tags import Newer
from devtools.outdated.versions_file import ImageVersion
from tests.unit.devtools.outdated.fake_programs import FakePrograms

DIGEST = f"sha256:{'3f' * 32}"
BUILDX = "docker buildx imagetools inspect --format {{.Manifest.Digest}}"
SERVER_VERSIONS = (
    "go.temporal.io/server v1.29.1 v1.30.4 v1.30.7 v1.30.8 v1.30.9 v1.31.2 v1.31.3 v1.31.4 "
    "v1.31.5 v1.32.0 v1.32.1 v1.32.2\n"
)
ALERTMANAGER_VERSIONS = "github.com/prometheus/alertmanager v0.28.1 v0.34.2 v0.35.0\n"
NO_REGISTRY = Completed(
    1,
    "",
    'failed to configure transport: error pinging v2 registry: Get "https://registry.example/v2/": '
    "dial tcp: lookup registry.example: no such host\n",
)


def image(name: str, tag: str) -> ImageVersion:
    return ImageVersion("SOME_IMAGE", name, tag, None, date(2026, 11, 1))


def test_a_registrys_tags_come_first() -> None:
    run = FakePrograms({"crane ls postgres": "16\n17\n18\n18-alpine\nlatest\n"})
    [result] = check_images([image("postgres", "17")], run)
    assert (result.newer, result.source) == (Newer(None, "18"), "crane")


def test_skopeo_lists_tags_without_crane() -> None:
    listed = '{"Repository": "postgres", "Tags": ["16", "17", "18"]}'
    run = FakePrograms({"skopeo list-tags docker://postgres": listed})
    [result] = check_images([image("postgres", "17")], run)
    assert (result.newer, result.source) == (Newer(None, "18"), "skopeo")


def test_without_a_registry_the_versions_of_go_modules_are_used() -> None:
    run = FakePrograms(
        {
            "crane ls": NO_REGISTRY,
            "go list -m -versions go.temporal.io/server": SERVER_VERSIONS,
            "go list -m -versions github.com/prometheus/alertmanager": ALERTMANAGER_VERSIONS,
        }
    )
    images = [
        image("temporalio/server", "1.30.8"),
        image("temporalio/admin-tools", "1.32.2"),
        image("prom/alertmanager", "v0.28.1"),
    ]
    results = check_images(images, run)
    assert [result.newer for result in results] == [
        Newer("1.30.9", "1.32.2"),
        Newer(None, None),
        Newer(None, "v0.35.0"),
    ]
    assert {result.source for result in results} == {"go"}


def test_an_image_without_any_source_is_reported_as_not_checked() -> None:
    [result] = check_images([image("postgres", "17")], FakePrograms({"crane ls": NO_REGISTRY}))
    assert result.newer is None
    assert "crane: failed to configure transport" in result.reason
    assert "skopeo: not installed" in result.reason
    assert "go: no module" in result.reason


def test_a_tag_without_an_order_is_reported() -> None:
    [result] = check_images([image("postgres", "latest")], FakePrograms({"crane ls": "17\n"}))
    assert (result.newer, result.reason) == (None, "latest is no version")


def test_docker_resolves_digests() -> None:
    run = FakePrograms({f"{BUILDX} postgres:17": f"{DIGEST}\n"})
    assert resolve_digests([image("postgres", "17")], run) == {"SOME_IMAGE": DIGEST}


def test_crane_resolves_digests_where_docker_has_no_buildx() -> None:
    no_buildx = Completed(1, "", "docker: unknown command: docker buildx\n\nRun 'docker --help'\n")
    run = FakePrograms({"docker buildx": no_buildx, "crane digest postgres:17": f"{DIGEST}\n"})
    assert resolve_digests([image("postgres", "17")], run) == {"SOME_IMAGE": DIGEST}


def test_a_digest_that_cannot_be_resolved_is_an_error_with_the_remedy() -> None:
    run = FakePrograms({"docker buildx": NO_REGISTRY})
    with pytest.raises(
        OutdatedError, match="No digest for postgres:17: docker buildx: failed"
    ) as error:
        resolve_digests([image("postgres", "17")], run)
    assert "Nothing was changed" in str(error.value)


def test_an_output_that_is_no_digest_is_an_error() -> None:
    run = FakePrograms({"docker buildx": "<no value>\n"})
    with pytest.raises(OutdatedError, match="printed '<no value>' instead of a digest"):
        resolve_digests([image("postgres", "17")], run)
