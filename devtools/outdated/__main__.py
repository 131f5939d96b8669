"""Run `make outdated` and `make pin-images`.

The report exits with 0 if something is outdated: a new release of a library must not fail the
checks of a change. `--fail-older-than` exits with 1 if an image has not been checked for longer.
"""

import argparse
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from devtools.outdated import images, python_packages, report, versions_file
from devtools.outdated.errors import OutdatedError
from devtools.outdated.programs import Run, run

ROOT = Path(__file__).parents[2]
VERSIONS_FILE = "deploy/versions.env"


def main(arguments: list[str], root: Path, run: Run, today: date) -> int:
    """Print the report, or pin the images; return the exit code."""
    options = _parser().parse_args(arguments)
    file = root / VERSIONS_FILE
    try:
        entries = versions_file.parse(file.read_text())
        if options.pin:
            digests = images.resolve_digests(entries, run)
            file.write_text(versions_file.pin(file.read_text(), digests, today))
            _print(f"{VERSIONS_FILE}: {len(digests)} images are pinned by digest.")
            return 0
    except OutdatedError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    environments = python_packages.check_environments(root, run)
    _print(report.render(environments, images.check_images(entries, run), today))
    older = [] if options.days is None else report.find_older(entries, options.days, today)
    for image in older:
        _print(f"{image.name} was last checked on {image.checked}: look for a newer version.")
    return 1 if older else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devtools.outdated", description=__doc__)
    parser.add_argument("--pin", action="store_true", help="write digests instead of reporting")
    parser.add_argument("--fail-older-than", dest="days", type=int, metavar="DAYS")
    return parser


def _print(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], ROOT, run, datetime.now(UTC).date()))
