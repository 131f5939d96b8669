"""The sources of a later version, from which the containers' tests upgrade, can be written."""

from pathlib import Path

from tests.containers.versions import PATCH_ID, REVISION, write_later_version


def test_a_later_version_differs_by_a_branch_and_a_migration(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    write_later_version(folder)
    assert PATCH_ID in (folder / "workflows/transaction_workflow.py").read_text()
    versions = sorted((folder / "integrator/store/migrations/versions").glob("[0-9]*.py"))
    assert versions[-1].name == f"{REVISION}_later.py"
    assert f'down_revision = "{versions[-2].name.partition("_")[0]}"' in versions[-1].read_text()
