"""Adapter of the sandbox PSP, the payment service provider of local development."""

from integrator.psp.sandbox.adapter import SandboxAdapter

__all__ = ["ADAPTER", "SandboxAdapter"]

ADAPTER = SandboxAdapter()
