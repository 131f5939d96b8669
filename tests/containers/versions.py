"""Sources of a later version of this code, for tests of an upgrade and its rollback.

`python3 tests/containers/versions.py FOLDER` copies what the Dockerfile needs into a new folder and
adds a branch to the workflows and a migration to the database. Needs the standard library only.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (
    *("Dockerfile", "README.md", "pyproject.toml", "requirements.lock"),
    *("requirements-devtools.lock", "worker.py"),
    *("activities", "api", "devtools", "integrator", "workflows"),
)
PATCH_ID = "wait-before-the-operation"
REVISION = "0900"

_WORKFLOW = Path("workflows/transaction_workflow.py")
_BEFORE = """        released = await self._wait_for_release()
"""
_AFTER = f"""        if workflow.patched("{PATCH_ID}"):
            await workflow.sleep(0.01)
        released = await self._wait_for_release()
"""
_MIGRATION = '''"""Add a column, as a later version may."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{previous}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transactions", sa.Column("later", sa.Text(), server_default="later"))
'''


def write_later_version(folder: Path) -> None:
    """Write the sources of the later version; raises `ValueError` if the workflow has changed."""
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    workflow = folder / _WORKFLOW
    code = workflow.read_text()
    if code.count(_BEFORE) != 1:
        raise ValueError(f"{_WORKFLOW} has changed: adapt _BEFORE in {__file__}")
    workflow.write_text(code.replace(_BEFORE, _AFTER))
    versions = folder / "integrator/store/migrations/versions"
    newest = max(file.name for file in versions.glob("[0-9]*.py"))
    migration = _MIGRATION.format(revision=REVISION, previous=newest.partition("_")[0])
    (versions / f"{REVISION}_later.py").write_text(migration)


if __name__ == "__main__":
    write_later_version(Path(sys.argv[1]))
