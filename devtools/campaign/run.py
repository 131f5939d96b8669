"""Run one campaign."""

import asyncio
import math
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtools.campaign.billwerk import BillwerkSimulator, NoDefiniteResponse
from devtools.campaign.checkout_client import CheckoutClient
from devtools.campaign.config import Config
from devtools.campaign.diagnostics import Diagnostics
from devtools.campaign.fault_injector import FaultInjector
from devtools.campaign.fault_schedule import RESTORE, schedule_faults
from devtools.campaign.integrator_view import IntegratorView
from devtools.campaign.invariants import find_violations
from devtools.campaign.journeys import JourneyRunner
from devtools.campaign.key_rotation import KeyRotation
from devtools.campaign.malformed_signals import MalformedSignals
from devtools.campaign.operator_actions import Operator, OperatorCommands
from devtools.campaign.operator_faults import OperatorFaults
from devtools.campaign.polling import wait_until
from devtools.campaign.psp import SandboxPspClient
from devtools.campaign.psp_profiles import PROFILES
from devtools.campaign.quiescence import Quiescence
from devtools.campaign.report import Result
from devtools.campaign.scenario import SUCCEEDED, PlannedPreauth
from devtools.campaign.scenario_generator import ScenarioGenerator
from devtools.campaign.stack import Stack
from devtools.campaign.temporal_backup import server_environment
from devtools.campaign.temporal_operations import TemporalOperations
from devtools.devstack.temporal import find_binary
from integrator.settings import Settings

_MAX_CONCURRENT_JOURNEYS = 40
_ERASED_CUSTOMERS = 8
_PRODUCT = (
    *("activities", "api", "integrator", "workflows"),
    *("devtools/devstack", "devtools/sandbox_psp"),
)
_PROCESS_HOOK = Path(__file__).with_name("process_hook")


def stack_environment(config: Config, data_dir: Path) -> dict[str, str]:
    """Return the environment variables of a campaign's stack on this data folder."""
    env = {
        **server_environment(find_binary(Settings()), data_dir),
        "SANDBOX_SETTLE_SECONDS": str(config.settle_seconds),
        "SANDBOX_SLOW_SECONDS": str(config.slow_seconds),
        "INTEGRATOR_RECONCILE_EVERY_SECONDS": str(config.reconcile_seconds),
        "INTEGRATOR_SYNC_BUDGET_SECONDS": str(config.sync_budget_seconds),
        "INTEGRATOR_DEMO_PSP": config.psp,
    }
    if config.psp == "sandbox":
        env |= {
            "SANDBOX_KEY_SECONDS": str(config.key_seconds),
            "CAMPAIGN_KEY_SECONDS": str(config.key_seconds),
        }
    if config.planted_bug is not None:
        env["CAMPAIGN_PLANTED"] = config.planted_bug
    return env | {"PYTHONPATH": str(_PROCESS_HOOK)}


def copy_product(target: Path) -> Path:
    """Copy the product's code: restarted processes must load the same code."""
    source = Path(__file__).parents[2]
    target.mkdir()
    for name in _PRODUCT:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / name, target / name, ignore=ignored)
    for file in (*source.glob("*.py"), *source.glob("devtools/*.py")):
        shutil.copy(file, target / file.relative_to(source))
    return target


def run(config: Config) -> Result:
    """Start a stack, run the campaign on it and stop it."""
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    clean = False
    try:
        code = copy_product(folder / "code")
        data_dir = folder / "data"
        stack = Stack(data_dir, stack_environment(config, data_dir), code)
        commands = OperatorCommands(stack, code)
        operator = Operator(stack, commands) if config.operator else None
        try:
            if operator is not None:
                operator.write_initial_keys()
            stack.start()
            result = asyncio.run(Campaign(config, stack, commands, operator).run())
        finally:
            stack.stop()
        clean = result.clean and not result.unfinished
        return result
    finally:
        if clean or not config.keep_data:
            shutil.rmtree(folder, ignore_errors=True)


class Campaign:
    """Phases of a campaign: traffic under faults, reset, quiescence, evaluation."""

    def __init__(
        self, config: Config, stack: Stack, commands: OperatorCommands, operator: Operator | None
    ) -> None:
        self._config = config
        self._commands = commands
        self._operator = operator
        self._stack = stack
        self._seconds: dict[str, float] = {}
        run = stack.run
        end = time.monotonic() + config.minutes * 60
        self._billwerk = BillwerkSimulator(run["api"], stack.token, end)
        self._psp = SandboxPspClient(run["sandbox_psp"], stack.demo["api_key"])
        self._integrator = IntegratorView(stack.env)
        self._checkout = CheckoutClient()
        self._journeys = JourneyRunner(self._billwerk, self._checkout)
        self._rotation = KeyRotation(run["api"], stack.token, config.psp, self._psp)

    async def run(self) -> Result:
        """Run all phases; the stack must be running."""
        config = self._config
        async with AsyncExitStack() as cleanup:
            parts = (self._billwerk, self._psp, self._integrator, self._checkout, self._rotation)
            for part in parts:
                cleanup.push_async_callback(part.close)
            await self._billwerk.receiver.start()
            faults = await self._create_faults()
            journeys, schedule = draw_plan(config)
            began = time.monotonic()
            traffic_ended = asyncio.Event()
            injecting = asyncio.create_task(
                faults.run(schedule, self._journeys.progress, traffic_ended)
            )
            operating = asyncio.create_task(self._run_operator(journeys, traffic_ended))
            await self._run_traffic(journeys, began)
            traffic_ended.set()
            await injecting
            await faults.reset()
            await operating
            self._seconds["traffic under faults"] = time.monotonic() - began
            quiescence = Quiescence(self._billwerk, self._integrator, self._psp)
            began = time.monotonic()
            await asyncio.sleep(reconcile_rounds(config) * config.reconcile_seconds)
            unfinished = await quiescence.wait(config.quiescence_seconds)
            if faults.injected[RESTORE]:
                await self._commands.heal()
                unfinished = await quiescence.wait(config.quiescence_seconds)
            self._seconds["until quiescent"] = time.monotonic() - began
            if self._operator is not None:
                await self._operator.require_old_key_unused()
            return await self._evaluate(unfinished, faults)

    async def _create_faults(self) -> FaultInjector:
        operator = OperatorFaults(
            TemporalOperations(await self._integrator.temporal()),
            MalformedSignals(self._integrator.keys),
            self._billwerk.transactions,
        )
        self._journeys.erased_agreements = operator.erased_agreements
        return FaultInjector(
            self._stack,
            self._psp,
            self._billwerk.receiver,
            operator,
            self._rotation,
            self._integrator.erase_agreement,
        )

    async def _run_operator(
        self, journeys: Sequence[PlannedPreauth], traffic_ended: asyncio.Event
    ) -> None:
        """Run operator actions: replace keys under load, erase customers after traffic."""
        if self._operator is None:
            return
        total = sum(journey.transaction_count for journey in journeys)
        await self._operator.run(
            lambda: 1.0 if traffic_ended.is_set() else self._journeys.progress() / max(1, total)
        )
        await wait_until(traffic_ended.is_set, math.inf)
        signed_up = [
            transaction
            for transaction in self._billwerk.transactions.values()
            if transaction.kind == "preauth"
            and transaction.latest is not None
            and transaction.latest.outcome == SUCCEEDED
        ]
        await self._operator.erase(
            [signed.body["agreementId"] for signed in signed_up[:_ERASED_CUSTOMERS]]
        )

    async def _run_traffic(self, journeys: Sequence[PlannedPreauth], began: float) -> None:
        semaphore = asyncio.Semaphore(_MAX_CONCURRENT_JOURNEYS)
        end = began + self._config.minutes * 60 * 0.7

        async def run_journey(journey: PlannedPreauth) -> None:
            async with semaphore:
                if time.monotonic() > end:
                    self._journeys.skipped += journey.transaction_count
                    return
                try:
                    await self._journeys.run(journey)
                except NoDefiniteResponse as error:
                    self._billwerk.lost_requests[f"never: {error}"] += 1

        await asyncio.gather(*map(run_journey, journeys))

    async def _evaluate(self, unfinished: str, faults: FaultInjector) -> Result:
        began = time.monotonic()
        transactions = self._billwerk.transactions
        await asyncio.gather(*(self._read_final_state(id) for id in transactions))
        rows = await self._integrator.rows()
        ledger = await self._psp.ledger()
        workflows = await self._integrator.workflows(transactions.values())
        violations = find_violations(
            transactions, rows, workflows, ledger, PROFILES[self._config.psp]
        )
        collector = Diagnostics(transactions, rows, workflows, ledger, self._integrator, faults.log)
        events = await self._psp.events() if violations else []
        diagnostics = await collector.collect(violations, events, self._config.max_diagnostics)
        self._seconds["evaluation"] = time.monotonic() - began
        return Result(
            seed=self._config.seed,
            seconds=self._seconds,
            transaction_counts=self._journeys.counts,
            skipped=self._journeys.skipped,
            lost_requests=self._billwerk.lost_requests,
            injected=faults.injected,
            operator_actions=self._operator.counts if self._operator is not None else Counter(),
            webhooks=sum(len(transaction.webhooks) for transaction in transactions.values()),
            ledger_entries=len(ledger),
            violations=violations,
            unmatched_webhooks=self._billwerk.unmatched_webhooks,
            unfinished=unfinished,
            diagnostics=diagnostics,
        )

    async def _read_final_state(self, id: str) -> None:
        transaction = self._billwerk.transactions[id]
        transaction.final = await self._billwerk.read(transaction, "at the end")


def reconcile_rounds(config: Config) -> int:
    """Return the number of reconciliation rounds to wait for before the evaluation."""
    configured = config.reconcile_rounds
    return PROFILES[config.psp].reconcile_rounds if configured is None else configured


def draw_plan(config: Config) -> tuple[list[PlannedPreauth], Any]:
    """Draw the journeys and the fault schedule; the same for the same seed."""
    # A repeatable plan; nothing is secret.
    rng = random.Random(config.seed)  # noqa: S311 - repeatable by design
    generator = ScenarioGenerator(rng, f"{datetime.now(UTC):%Y%m%d}", PROFILES[config.psp])
    journeys = list(generator.journeys(config.transactions))
    total = sum(journey.transaction_count for journey in journeys)
    return journeys, schedule_faults(rng, total, config.fault_rounds, config.fault_kinds)
