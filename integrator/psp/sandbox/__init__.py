"""Adapter of the sandbox PSP, the emulated provider for local development."""

from integrator.psp.sandbox.adapter import SandboxAdapter

__all__ = ["ADAPTER", "SandboxAdapter"]

ADAPTER = SandboxAdapter()
