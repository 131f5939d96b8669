"""Settings, files and manifests named in the deployment guides exist."""

import re
from pathlib import Path

import pytest

from integrator.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "docs/deployment.md", ROOT / "docs/kubernetes.md"]
KNOWN = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
class TestGuide:
    def test_settings(self, guide: Path) -> None:
        variables = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", guide.read_text()))
        assert variables
        assert variables <= KNOWN

    def test_files(self, guide: Path) -> None:
        text = guide.read_text()
        paths = set(re.findall(r"\b(?:deploy|tests)/(?!secrets\b(?!\.sh))[\w./-]*\w", text))
        paths |= {f"docs/{link}" for link in re.findall(r"\]\(([\w-]+\.md)", text)}
        assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_manifest_is_documented() -> None:
    text = GUIDES[1].read_text()
    manifests = [file.name for file in (ROOT / "deploy/kubernetes").iterdir()]
    assert manifests
    assert [name for name in manifests if f"`{name}`" not in text] == []
