"""The `integrator` command."""
