"""Look-ups whose responses are distorted: what a PSP sends beside its documentation."""

from collections.abc import Iterator
from contextlib import contextmanager

from integrator.psp.conformance import fault_transport
from integrator.psp.conformance.assertions import require
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import Distortion
from integrator.psp.conformance.results import NotApplicable

_ALL_REQUESTS = 999


@contextmanager
def distorted_responses(context: CheckContext, distortion: Distortion) -> Iterator[None]:
    """Distort the responses while the context is open. Raises `NotApplicable`.

    Raises `Violation` if there was nothing to distort: then the check has shown nothing.
    """
    distort = context.harness.distortions().get(distortion)
    if distort is None:
        raise NotApplicable(f"the harness has no distortion {distortion.value}")
    distorted: list[bytes] = []

    def change(body: bytes) -> bytes:
        changed = distort(body)
        if changed != body:
            distorted.append(changed)
        return changed

    fault = Fault(fault_transport.alter_response(change), writes_only=False, times=_ALL_REQUESTS)
    with context.transport.inject(fault):
        yield
    require(distorted, "No response of the look-up had anything to distort.")
