"""Text of the report."""

from collections.abc import Iterator, Sequence
from datetime import date

from devtools.outdated.images import ImageResult
from devtools.outdated.python_packages import PINNED_ON_PURPOSE, EnvironmentResult, PythonResult
from devtools.outdated.versions_file import ImageVersion


def render(
    environments: Sequence[EnvironmentResult], images: Sequence[ImageResult], today: date
) -> str:
    """Return the report: libraries by environment, then each image."""
    return "\n".join([*_libraries(environments), "", *_images(images, today)]) + "\n"


def find_older(images: Sequence[ImageVersion], days: int, today: date) -> list[ImageVersion]:
    """Return the images whose last check is more than `days` ago."""
    return [image for image in images if (today - image.checked).days > days]


def _libraries(environments: Sequence[EnvironmentResult]) -> Iterator[str]:
    yield "Libraries (`make lock` takes over what pyproject.toml allows)"
    for environment in environments:
        if environment.reason:
            yield f"  {environment.name}: not checked: {environment.reason}"
        elif not environment.packages:
            yield f"  {environment.name}: every library is the newest"
        for package in environment.packages:
            yield f"  {environment.name}: {_library(package)}"
    for lock_file in sorted(PINNED_ON_PURPOSE):
        yield f"  {lock_file}: not checked: pinned on purpose"


def _library(package: PythonResult) -> str:
    held = f", held by {package.held_by}" if package.held_by else ""
    files = ", ".join(package.lock_files)
    return f"{package.name} {package.locked} -> {package.latest}{held} ({files})"


def _images(images: Sequence[ImageResult], today: date) -> Iterator[str]:
    yield "Images (deploy/versions.env)"
    for result in images:
        age = (today - result.image.checked).days
        pinned = "pinned" if result.image.digest else "not pinned by digest"
        yield f"  {result.image.reference}: {_image(result)}; checked {age} days ago, {pinned}"


def _image(result: ImageResult) -> str:
    if result.newer is None:
        return f"not checked ({result.reason})"
    if result.newer.newest is None:
        return f"the newest ({result.source})"
    patch = result.newer.patch
    minor = f"{patch} in the same minor version, " if patch else ""
    return f"{minor}{result.newer.newest} is the newest ({result.source})"
