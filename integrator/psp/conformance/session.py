"""One run of the kit inside pytest: collects the cases, runs them, counts and reports."""

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

import pytest

from integrator.psp.conformance import discovery, report, runner
from integrator.psp.conformance.context import KitRun
from integrator.psp.conformance.harness import Unavailable
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.runner import Case
from integrator.psp.registry import UnknownPsp, adapter

T = TypeVar("T")


class CheckItem(pytest.Item):
    """One case of a check."""

    kit: "KitSession"
    case: Case

    def runtest(self) -> None:
        """Run it in the kit's loop."""
        try:
            self.kit.run(self.case)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A broken rule in the author's words; anything else with its traceback."""
        if not isinstance(excinfo.value, Violation):
            return super().repr_failure(excinfo, style)
        place = excinfo.traceback[-1]
        checks = [e for e in excinfo.traceback if "kit/checks" in Path(e.path).as_posix()]
        place = checks[-1] if checks else place
        return f"{self.case.check.rule}\n\n{excinfo.value}\n\n{place.path}:{place.lineno + 1}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the check is written."""
        code: CodeType = self.case.check.run.__code__
        return Path(code.co_filename), code.co_firstlineno, self.name


class KitSession:
    """The kit at work for one adapter; its loop and its bench live as long as the run."""

    def __init__(self, config: pytest.Config, psp: str, bench: str | None) -> None:
        self._psp = psp
        try:
            self._live = discovery.live_settings(adapter(psp), os.environ)
            self._instruments = discovery.live_instruments(adapter(psp), os.environ)
            self._factory = discovery.find_harness(psp, bench)
        except (UnknownPsp, Unavailable) as error:
            raise pytest.UsageError(str(error)) from error
        self._runner = asyncio.Runner()
        self._closing: asyncio.Event | None = None
        self._host: asyncio.Task[None] | None = None
        self._rig: KitRun | None = None
        self.counts: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[str] = Counter()
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args = []

    def run(self, case: Case) -> None:
        """Run one case."""
        assert self._rig is not None  # noqa: S101 - it was opened to collect the cases
        self._runner.run(runner.run(self._rig, case))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add the cases, before pytest selects among them."""
        try:
            self._rig = self._runner.run(self._open())
        except Unavailable as error:
            raise pytest.UsageError(str(error)) from error
        for case in self._runner.run(runner.cases(self._rig)):
            nodeid = f"{self._psp}/{case.check.area}::{case.name}"
            item: CheckItem = CheckItem.from_parent(session, name=case.name, nodeid=nodeid)
            item.kit, item.case = self, case
            item.extra_keyword_matches.add(case.check.area)
            items.append(item)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Count what became of each case."""
        outcome = yield
        told: pytest.TestReport = outcome.get_result()
        if not isinstance(item, CheckItem) or (told.when != "call" and not told.failed):
            return
        self.counts[item.case.check.area, told.outcome] += 1
        if told.skipped and isinstance(told.longrepr, tuple):
            self.reasons[told.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_report_header(self) -> str:
        """Which account the checks use."""
        where = "the PSP's own sandbox" if self._live else "a stand-in"
        return f"PSP conformance kit: {self._psp}, against {where}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table of the run."""
        terminalreporter.section(f"PSP conformance: {self._psp}")
        for line in report.table(self.counts, self.reasons):
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        """Close the bench."""
        if self._closing is not None and self._host is not None:
            self._closing.set()
            self._runner.run(_wait(self._host))
        self._runner.close()

    async def _open(self) -> KitRun:
        """Open the bench in a task of its own, so that it is also closed there."""
        self._closing = asyncio.Event()
        opened: asyncio.Future[KitRun] = asyncio.get_running_loop().create_future()
        self._host = asyncio.create_task(self._keep_open(opened, self._closing))
        self._host.add_done_callback(lambda host: _pass_on(host, opened))
        return await opened

    async def _keep_open(self, opened: "asyncio.Future[KitRun]", closing: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            opened.set_result(
                await stack.enter_async_context(
                    runner.rig(self._factory, self._live, self._instruments)
                )
            )
            await closing.wait()


def _pass_on(host: "asyncio.Task[None]", opened: "asyncio.Future[KitRun]") -> None:
    error = host.exception()
    if error is not None and not opened.done():
        opened.set_exception(error)


async def _wait(task: "asyncio.Task[None]") -> None:
    await task
