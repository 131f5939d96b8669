"""Run `python -m integrator.cli`, the same as the `integrator` command."""

from integrator.cli.main import app

app()
