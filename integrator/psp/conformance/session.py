"""One run of the kit inside pytest: collect the cases, run them, count and report."""

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
from integrator.psp.conformance.harness import HarnessUnavailable
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.runner import Case
from integrator.psp.registry import UnknownPsp, get_adapter

T = TypeVar("T")


class CheckItem(pytest.Item):
    """One case of a check."""

    kit: "KitSession"
    case: Case

    def runtest(self) -> None:
        """Run the case in the kit's event loop."""
        try:
            self.kit.run(self.case)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return a broken rule with the check's line; anything else with its traceback."""
        if not isinstance(excinfo.value, Violation):
            return super().repr_failure(excinfo, style)
        entry = excinfo.traceback[-1]
        checks = [e for e in excinfo.traceback if "conformance/checks" in Path(e.path).as_posix()]
        entry = checks[-1] if checks else entry
        return f"{self.case.check.rule}\n\n{excinfo.value}\n\n{entry.path}:{entry.lineno + 1}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the check is written."""
        code: CodeType = self.case.check.run.__code__
        return Path(code.co_filename), code.co_firstlineno, self.name


class KitSession:
    """A run of the kit for one adapter; its loop and harness stay open during the run."""

    def __init__(self, config: pytest.Config, psp: str, harness_spec: str | None) -> None:
        self._psp = psp
        try:
            self._live = discovery.live_settings(get_adapter(psp), os.environ)
            self._instruments = discovery.live_instruments(get_adapter(psp), os.environ)
            self._factory = discovery.find_harness(psp, harness_spec)
        except (UnknownPsp, HarnessUnavailable) as error:
            raise pytest.UsageError(str(error)) from error
        self._runner = asyncio.Runner()
        self._closing: asyncio.Event | None = None
        self._host: asyncio.Task[None] | None = None
        self._kit_run: KitRun | None = None
        self.counts: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[str] = Counter()
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args = []

    def run(self, case: Case) -> None:
        """Run one case."""
        assert self._kit_run is not None  # noqa: S101 - it was opened to collect the cases
        self._runner.run(runner.run_case(self._kit_run, case))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add the cases, before pytest selects among them."""
        try:
            self._kit_run = self._runner.run(self._open())
        except HarnessUnavailable as error:
            raise pytest.UsageError(str(error)) from error
        for case in self._runner.run(runner.collect_cases(self._kit_run)):
            nodeid = f"{self._psp}/{case.check.area}::{case.name}"
            item: CheckItem = CheckItem.from_parent(session, name=case.name, nodeid=nodeid)
            item.kit, item.case = self, case
            item.extra_keyword_matches.add(case.check.area)
            items.append(item)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Count the result of each case."""
        outcome = yield
        test_report: pytest.TestReport = outcome.get_result()
        if not isinstance(item, CheckItem) or (
            test_report.when != "call" and not test_report.failed
        ):
            return
        self.counts[item.case.check.area, test_report.outcome] += 1
        if test_report.skipped and isinstance(test_report.longrepr, tuple):
            self.reasons[test_report.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_report_header(self) -> str:
        """Return which account the checks use."""
        target = "the PSP's own sandbox" if self._live else "an emulator"
        return f"PSP conformance kit: {self._psp}, against {target}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the summary table."""
        terminalreporter.section(f"PSP conformance: {self._psp}")
        for line in report.summary_lines(self.counts, self.reasons):
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        """Close the harness."""
        if self._closing is not None and self._host is not None:
            self._closing.set()
            self._runner.run(_wait(self._host))
        self._runner.close()

    async def _open(self) -> KitRun:
        """Open the harness in a task of its own, in which it is also closed."""
        self._closing = asyncio.Event()
        opened: asyncio.Future[KitRun] = asyncio.get_running_loop().create_future()
        self._host = asyncio.create_task(self._keep_open(opened, self._closing))
        self._host.add_done_callback(lambda host: _propagate_error(host, opened))
        return await opened

    async def _keep_open(self, opened: "asyncio.Future[KitRun]", closing: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            opened.set_result(
                await stack.enter_async_context(
                    runner.open_run(self._factory, self._live, self._instruments)
                )
            )
            await closing.wait()


def _propagate_error(host: "asyncio.Task[None]", opened: "asyncio.Future[KitRun]") -> None:
    error = host.exception()
    if error is not None and not opened.done():
        opened.set_exception(error)


async def _wait(task: "asyncio.Task[None]") -> None:
    await task
