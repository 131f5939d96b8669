"""Commands of the documents, executed in a folder of the repository as an operator types them."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.containers.deployment import Deployment
from tests.containers.versions import SOURCES
from tests.support.paths import ROOT
from tests.tooling.docs.pages import read
from tests.tooling.docs.session import substitute
from tests.tooling.docs.shell import Command, commands

SECONDS = 540
"""Shorter than the limit of a test, so that its failure shows the command's output."""

# Programs that operators run where they have access to the servers run in the containers that have
# it. An HTTP error or a failing member of a pipe must fail the command, unlike for a reader.
_PRELUDE = """
set -o pipefail
curl() { command curl --fail-with-body --max-time 30 "$@"; }
integrator() { docker compose run --rm -T api integrator "$@"; }
temporal() { docker compose run --rm -T --entrypoint temporal temporal-namespace "$@"; }
python() { docker compose exec -T worker python "$@"; }
temporal-sql-tool() { docker compose run --rm -T temporal-schema temporal-sql-tool "$@"; }
"""


@dataclass(frozen=True)
class Executed:
    """Command that succeeded, with its output."""

    command: Command
    output: str


class DocumentedDeployment(Deployment):
    """A folder with the sources and the deployment's files; the documents' commands do the rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder.name
        folder.mkdir()
        self._outputs = folder.parent / f"{folder.name}-outputs"
        self._outputs.mkdir()
        for name in (*SOURCES, "docker-compose.yml", ".dockerignore", "deploy"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        shutil.rmtree(folder / "deploy/secrets", ignore_errors=True)
        (folder / "compose.override.yml").write_text(yaml.safe_dump(self._only_for_tests()))

    def _only_for_tests(self) -> dict[str, object]:
        """Return the override of a machine where no resolver and no registry may answer."""
        services = yaml.safe_load((self.folder / "docker-compose.yml").read_text())["services"]
        return {
            "services": {
                # The network of the images' first build: only then are its layers used again.
                name: {"dns": ["127.0.0.1"]}
                | ({"build": {"network": "host"}} if "build" in service else {})
                for name, service in services.items()
            }
        }

    def change_settings(self, settings: Mapping[str, str]) -> None:
        """Change variables in the existing `.env`."""
        self.write_settings(self.read_settings() | dict(settings))

    def execute(
        self, listed: Sequence[Command], values: Mapping[str, str] | None = None
    ) -> list[Executed]:
        """Run the commands in one shell, the document's placeholders replaced by `values`."""
        script, outputs = [_PRELUDE], []
        for number, command in enumerate(listed):
            output = self._outputs / f"{number}.out"
            output.unlink(missing_ok=True)
            outputs.append(output)
            # Braces instead of a subshell: later commands use the variables set here.
            text = substitute(command.text, values or {})
            script.append(f"{{\n{text}\n}} >'{output}' 2>&1 || exit")
        file = self._outputs / "script"
        file.write_text("\n".join(script))
        result = subprocess.run(
            ["bash", file],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        written = [output.read_text() for output in outputs if output.exists()]
        if result.returncode != 0 or result.stderr:
            failed = listed[max(len(written) - 1, 0)]
            raise AssertionError(
                f"{failed.place}: exit code {result.returncode}\n{failed.text}\n"
                f"{written[-1:]}\n{result.stderr}\n{self.describe_failure()}"
            )
        return [Executed(*pair) for pair in zip(listed, written, strict=True)]


def commands_of(page: str, section: str | None = None) -> list[Command]:
    """Return the commands of a page, or of its section with this heading."""
    document = read(ROOT / page)
    if section is None:
        return commands(document)
    lines = document.text.splitlines()
    first = lines.index(f"## {section}") + 1
    last = next(_headings(lines, first), len(lines))
    found = [command for command in commands(document) if first < command.line <= last]
    if not found:
        raise ValueError(f"{page}: the section {section} contains no command")
    return found


def _headings(lines: list[str], first: int) -> Iterator[int]:
    return (number for number, line in enumerate(lines) if number >= first and line[:3] == "## ")
