"""A bench whose adapter has a defect, to see how the kit tells of it."""

from integrator.psp.port import Adapter
from tests.conformance.emulator_harness import factory
from tests.conformance.harness_sandbox import SandboxHarness
from tests.conformance.mutants_base import at
from tests.conformance.mutants_notifications import BodyIsNotSigned


class BrokenHarness(SandboxHarness):
    """The sandbox PSP behind an exhibit of the museum."""

    def adapter_at(self, url: str | None) -> Adapter:
        return at(BodyIsNotSigned, url or "")


harness = factory(BrokenHarness)
