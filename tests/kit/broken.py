"""A bench whose adapter has a defect, to see how the kit tells of it."""

from psp.port import Adapter
from tests.kit.bench_sandbox import SandboxBench
from tests.kit.dialect_bench import factory
from tests.kit.exhibits import at
from tests.kit.museum_notices import BodyIsNotSigned


class BrokenBench(SandboxBench):
    """The sandbox PSP behind an exhibit of the museum."""

    def adapter_at(self, url: str | None) -> Adapter:
        return at(BodyIsNotSigned, url or "")


bench = factory(BrokenBench)
