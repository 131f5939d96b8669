"""Declare a short idempotency window of the sandbox PSP, so that its keys expire in a campaign."""


def declare(seconds: float) -> None:
    """Declare that the sandbox PSP remembers a key for this long."""
    from integrator.psp.sandbox.adapter import SandboxAdapter

    capabilities = SandboxAdapter.capabilities
    idempotency = capabilities.idempotency.model_copy(update={"window_seconds": int(seconds)})
    SandboxAdapter.capabilities = capabilities.model_copy(update={"idempotency": idempotency})
