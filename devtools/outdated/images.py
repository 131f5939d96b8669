"""Newer versions and digests of images.

Docker's command line knows its registry but has no command that lists tags: `crane` or `skopeo`
lists them, with the same default registry. Without them, the versions of programs written in Go
come from the Go module proxy.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from devtools.outdated.errors import OutdatedError
from devtools.outdated.programs import Completed, Run
from devtools.outdated.tags import Newer, find_newer
from devtools.outdated.versions_file import ImageVersion, is_digest

GO_MODULES: Mapping[str, str] = {
    "caddy": "github.com/caddyserver/caddy/v2",
    "prom/alertmanager": "github.com/prometheus/alertmanager",
    "temporalio/admin-tools": "go.temporal.io/server",
    "temporalio/server": "go.temporal.io/server",
    "temporalio/ui": "github.com/temporalio/ui-server/v2",
}
"""Module whose versions are an image's tags. Prometheus is missing: its module counts otherwise."""


@dataclass(frozen=True)
class ImageResult:
    """Newer versions of an image by their `source`; `reason` says why they are not known."""

    image: ImageVersion
    newer: Newer | None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Source:
    name: str
    list_tags: Callable[[str, Run], list[str]]


class _NoVersionsError(Exception):
    """A source has no versions of an image; the message says why."""


def check_images(images: Sequence[ImageVersion], run: Run) -> list[ImageResult]:
    """Look for newer versions of each image, in the first source that has its versions."""
    return [_check(image, run) for image in images]


def _check(image: ImageVersion, run: Run) -> ImageResult:
    reasons = []
    for source in _SOURCES:
        try:
            newer = find_newer(image.tag, source.list_tags(image.image, run))
        except FileNotFoundError:
            reasons.append(f"{source.name}: not installed")
        except _NoVersionsError as error:
            reasons.append(f"{source.name}: {error}")
        except ValueError as error:
            return ImageResult(image, None, reason=str(error))
        else:
            return ImageResult(image, newer, source.name)
    return ImageResult(image, None, reason="; ".join(reasons))


def _crane(image: str, run: Run) -> list[str]:
    return _successful(run(("crane", "ls", image))).split()


def _skopeo(image: str, run: Run) -> list[str]:
    listed = json.loads(_successful(run(("skopeo", "list-tags", f"docker://{image}"))))
    return [str(tag) for tag in listed["Tags"]]


def _go(image: str, run: Run) -> list[str]:
    module = GO_MODULES.get(image)
    if module is None:
        raise _NoVersionsError("no module with this image's versions")
    words = _successful(run(("go", "list", "-m", "-versions", module))).split()
    # Images of Prometheus keep the v of the module's versions, the others do not: both forms are
    # offered, and only those of the image's own form count.
    return [form for version in words[1:] for form in (version, version.removeprefix("v"))]


_SOURCES = (_Source("crane", _crane), _Source("skopeo", _skopeo), _Source("go", _go))


def resolve_digests(images: Sequence[ImageVersion], run: Run) -> dict[str, str]:
    """Return each image's digest by its name; raises `OutdatedError` if one is not resolved."""
    return {image.name: _resolve(image, run) for image in images}


def _resolve(image: ImageVersion, run: Run) -> str:
    reasons = []
    for command in _digest_commands(image.reference):
        program = " ".join(command[:2])
        try:
            digest = _successful(run(command)).strip()
        except FileNotFoundError:
            reasons.append(f"{program}: not installed")
        except _NoVersionsError as error:
            reasons.append(f"{program}: {error}")
        else:
            if not is_digest(digest):
                raise OutdatedError(
                    f"{program} printed {digest!r} instead of a digest of {image.reference}. "
                    "Nothing was changed. Update the program."
                )
            return digest
    raise OutdatedError(
        f"No digest for {image.reference}: {'; '.join(reasons)}. Nothing was changed. Run this "
        "where Docker with buildx, crane or skopeo reaches a registry."
    )


def _digest_commands(reference: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands that print a tag's digest, the index's for images of many platforms."""
    inspect = ("docker", "buildx", "imagetools", "inspect")
    return (
        (*inspect, "--format", "{{.Manifest.Digest}}", reference),
        ("crane", "digest", reference),
        ("skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{reference}"),
    )


def _successful(completed: Completed) -> str:
    if completed.code != 0:
        raise _NoVersionsError(completed.reason)
    return completed.stdout
