"""The file with the versions of images: `NAME=image:tag[@digest]` below its date."""

import re
from dataclasses import dataclass
from datetime import date

from devtools.outdated.errors import OutdatedError

_CHECKED = re.compile(r"# checked (\d{4}-\d{2}-\d{2})")
_ENTRY = re.compile(r"(?P<name>[A-Z_]+)=(?P<image>[^:@\s]+):(?P<tag>[^@\s]+)(?:@(?P<digest>\S+))?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageVersion:
    """An entry; `checked` is the day on which a developer last looked for newer versions."""

    name: str
    image: str
    tag: str
    digest: str | None
    checked: date

    @property
    def reference(self) -> str:
        """Return image and tag, without the digest."""
        return f"{self.image}:{self.tag}"


def parse(text: str) -> list[ImageVersion]:
    """Parse the file's text; raises `OutdatedError` with the line that is wrong."""
    entries: list[ImageVersion] = []
    checked: date | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if dated := _CHECKED.fullmatch(line):
            checked = date.fromisoformat(dated[1])
        elif line and not line.startswith("#"):
            if checked is None:
                raise OutdatedError(f"Line {number}: add a line `# checked YYYY-MM-DD` above it.")
            entries.append(_entry(number, line, checked))
            checked = None
    return entries


def is_digest(text: str) -> bool:
    """Return whether a text is a digest as registries print it."""
    return _DIGEST.fullmatch(text) is not None


def _entry(number: int, line: str, checked: date) -> ImageVersion:
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise OutdatedError(f"Line {number}: write NAME=image:tag instead of {line!r}.")
    digest = match["digest"]
    if digest is not None and not is_digest(digest):
        raise OutdatedError(f"Line {number}: {digest!r} is no digest; run `make pin-images`.")
    return ImageVersion(match["name"], match["image"], match["tag"], digest, checked)


def pin(text: str, digests: dict[str, str], today: date) -> str:
    """Return the text with a digest for each name, and today's date above each entry."""
    lines = []
    for line in text.splitlines():
        if _CHECKED.fullmatch(line):
            line = f"# checked {today}"
        elif match := _ENTRY.fullmatch(line):
            line = f"{match['name']}={match['image']}:{match['tag']}@{digests[match['name']]}"
        lines.append(line)
    return "\n".join(lines) + "\n"
