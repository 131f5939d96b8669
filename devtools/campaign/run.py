"""One campaign from start to end."""

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

from devtools.campaign.billwerk import Billwerk, Unanswered
from devtools.campaign.checkout_client import Customer
from devtools.campaign.config import Config
from devtools.campaign.diagnostics import Diagnostics
from devtools.campaign.fault_injector import FaultInjector
from devtools.campaign.fault_schedule import strikes
from devtools.campaign.integrator_view import IntegratorBooks
from devtools.campaign.invariants import audit
from devtools.campaign.journeys import Lives
from devtools.campaign.operator_actions import Operator
from devtools.campaign.polling import until
from devtools.campaign.psp import Psp
from devtools.campaign.psp_profiles import PROFILES
from devtools.campaign.quiescence import Quiescence
from devtools.campaign.report import Result
from devtools.campaign.scenario import SUCCEEDED, Preauth
from devtools.campaign.scenario_generator import ScenarioGenerator
from devtools.campaign.stack import Stack

_LIVES_AT_ONCE = 40
_ERASED = 8
_PRODUCT = (
    *("activities", "api", "integrator", "workflows"),
    *("devtools/devstack", "devtools/sandbox_psp"),
)
_HOOK = Path(__file__).with_name("process_hook")


def stack_environment(config: Config) -> dict[str, str]:
    """How the stack of a campaign is set up."""
    env = {
        "SANDBOX_SETTLE_SECONDS": str(config.settle_seconds),
        "SANDBOX_SLOW_SECONDS": str(config.slow_seconds),
        "INTEGRATOR_RECONCILE_EVERY_SECONDS": str(config.reconcile_seconds),
        "INTEGRATOR_SYNC_BUDGET_SECONDS": str(config.sync_budget_seconds),
        "INTEGRATOR_DEMO_PSP": config.psp,
    }
    if config.planted is not None:
        env |= {"CAMPAIGN_PLANTED": config.planted, "PYTHONPATH": str(_HOOK)}
    return env


def snapshot(target: Path) -> Path:
    """A copy of the product: processes that are started again must find the same code."""
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
        code = snapshot(folder / "code")
        stack = Stack(folder / "data", stack_environment(config), code)
        operator = Operator(stack, code) if config.operator else None
        try:
            if operator is not None:
                operator.lay_keys()
            stack.start()
            result = asyncio.run(Campaign(config, stack, operator).run())
        finally:
            stack.stop()
        clean = result.clean and not result.unquiet
        return result
    finally:
        if clean or not config.keep:
            shutil.rmtree(folder, ignore_errors=True)


class Campaign:
    """The order of things: traffic under faults, healing, silence, balance."""

    def __init__(self, config: Config, stack: Stack, operator: Operator | None) -> None:
        self._config = config
        self._operator = operator
        self._stack = stack
        self._seconds: dict[str, float] = {}
        run = stack.run
        end = time.monotonic() + config.minutes * 60
        self._billwerk = Billwerk(run["api"], stack.token, end)
        self._psp = Psp(run["sandbox_psp"], stack.demo["api_key"])
        self._books = IntegratorBooks(stack.env)
        self._customer = Customer()
        self._lives = Lives(self._billwerk, self._customer)
        self._chaos = FaultInjector(stack, self._psp, self._billwerk.receiver)

    async def run(self) -> Result:
        """Everything; the stack must be running."""
        config = self._config
        async with AsyncExitStack() as cleanup:
            for part in (self._billwerk, self._psp, self._books, self._customer):
                cleanup.push_async_callback(part.close)
            await self._billwerk.receiver.start()
            lives, plan = plans(config)
            began = time.monotonic()
            over = asyncio.Event()
            raging = asyncio.create_task(self._chaos.run(plan, self._lives.progress, over))
            working = asyncio.create_task(self._work(lives, over))
            await self._traffic(lives, began)
            over.set()
            await raging
            await self._chaos.reset()
            await working
            self._seconds["traffic under faults"] = time.monotonic() - began
            quiet = Quiescence(self._billwerk, self._books, self._psp)
            began = time.monotonic()
            await asyncio.sleep(rounds(config) * config.reconcile_seconds)
            unquiet = await quiet.wait(config.quiet_seconds)
            self._seconds["until quiet"] = time.monotonic() - began
            if self._operator is not None:
                await self._operator.require_old_key_unused()
            return await self._balance(unquiet)

    async def _work(self, lives: Sequence[Preauth], over: asyncio.Event) -> None:
        """What an operator does: keys under load, erasures when their customers have gone."""
        if self._operator is None:
            return
        total = sum(life.transactions for life in lives)
        await self._operator.work(
            lambda: 1.0 if over.is_set() else self._lives.progress() / max(1, total)
        )
        await until(over.is_set, math.inf)
        signed_up = [
            of
            for of in self._billwerk.books.values()
            if of.kind == "preauth" and of.known is not None and of.known.outcome == SUCCEEDED
        ]
        await self._operator.erase([of.body["agreementId"] for of in signed_up[:_ERASED]])

    async def _traffic(self, lives: Sequence[Preauth], began: float) -> None:
        gate = asyncio.Semaphore(_LIVES_AT_ONCE)
        end = began + self._config.minutes * 60 * 0.7

        async def one(life: Preauth) -> None:
            async with gate:
                if time.monotonic() > end:
                    self._lives.skipped += life.transactions
                    return
                try:
                    await self._lives.live(life)
                except Unanswered as error:
                    self._billwerk.lost[f"for ever: {error}"] += 1

        await asyncio.gather(*(one(life) for life in lives))

    async def _balance(self, unquiet: str) -> Result:
        began = time.monotonic()
        books = self._billwerk.books
        await asyncio.gather(*(self._read(id) for id in books))
        rows = await self._books.rows()
        ledger = await self._psp.ledger()
        workflows = await self._books.workflows(books.values())
        findings = audit(books, rows, workflows, ledger, PROFILES[self._config.psp])
        teller = Diagnostics(books, rows, workflows, ledger, self._books, self._chaos.log)
        events = await self._psp.events() if findings else []
        stories = await teller.tell(findings, events, self._config.stories)
        self._seconds["balancing"] = time.monotonic() - began
        return Result(
            seed=self._config.seed,
            seconds=self._seconds,
            made=self._lives.made,
            skipped=self._lives.skipped,
            requests_lost=self._billwerk.lost,
            injected=self._chaos.injected,
            operated=self._operator.done if self._operator is not None else Counter(),
            webhooks=sum(len(of.webhooks) for of in books.values()),
            entries=len(ledger),
            findings=findings,
            strangers=self._billwerk.strangers,
            unquiet=unquiet,
            stories=stories,
        )

    async def _read(self, id: str) -> None:
        of = self._billwerk.books[id]
        of.final = await self._billwerk.read(of, "at the end")


def rounds(config: Config) -> int:
    """How often the books must have been compared before they are balanced."""
    given = config.reconcile_rounds
    return PROFILES[config.psp].reconcile_rounds if given is None else given


def plans(config: Config) -> tuple[list[Preauth], Any]:
    """What will be done and what will be broken; the same for the same seed."""
    # Chance for a plan that can be repeated, nothing secret.
    dice = random.Random(config.seed)  # noqa: S311 - repeatable on purpose
    planner = ScenarioGenerator(dice, f"{datetime.now(UTC):%Y%m%d}", PROFILES[config.psp])
    lives = list(planner.lives(config.transactions))
    total = sum(life.transactions for life in lives)
    return lives, strikes(dice, total, config.rounds, config.only)
