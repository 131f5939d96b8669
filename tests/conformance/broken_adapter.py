"""A harness whose adapter has a defect, to test how the kit reports it."""

from integrator.psp.port import Adapter
from tests.conformance.emulator_harness import harness_factory
from tests.conformance.harness_sandbox import SandboxHarness
from tests.conformance.mutants_base import adapter_at
from tests.conformance.mutants_notifications import StrippedBodyIsVerified


class BrokenHarness(SandboxHarness):
    """The sandbox PSP with a mutant from the defect catalogue."""

    def create_adapter(self, url: str | None) -> Adapter:
        return adapter_at(StrippedBodyIsVerified, url or "")


harness = harness_factory(BrokenHarness)
