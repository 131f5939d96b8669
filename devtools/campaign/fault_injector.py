"""Breaks things while traffic flows, and counts what was really broken."""

import asyncio
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from devtools.campaign.fault_schedule import KINDS, FaultInjection
from devtools.campaign.polling import until
from devtools.campaign.psp import Psp
from devtools.campaign.receiver import Receiver, ReceiverMode
from devtools.campaign.stack import Stack

_PATIENCE_SECONDS = 30.0
_LONGEST_SECONDS = 6.0
"""A fault that has met nothing yet waits so much longer for somebody to come by."""
_LOOK_SECONDS = 0.3

_MOODS: dict[str, ReceiverMode] = {"down": "down", "slow": "slow", "500": "500", "503": "503"}


class FaultInjector:
    """Strikes one after the other; faults of the PSP may overlap with anything.

    `injected` counts: calls struck for the PSP's faults, attempts struck for the webhook target
    (each time for "down"), occurrences for processes.
    """

    def __init__(self, stack: Stack, psp: Psp, receiver: Receiver) -> None:
        self.injected: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self._stack = stack
        self._psp = psp
        self._receiver = receiver
        self._one_process = asyncio.Lock()
        self._one_mood = asyncio.Lock()

    async def run(
        self, plan: Sequence[FaultInjection], begun: Callable[[], int], over: asyncio.Event
    ) -> None:
        """Let every fault strike at its time; those left when traffic is over are left out."""
        running: list[asyncio.Task[None]] = []
        for strike in plan:
            due = partial(_due, strike, begun, over)
            await until(due, math.inf)
            if over.is_set():
                break
            running.append(asyncio.create_task(self._strike(strike)))
        await asyncio.gather(*running)

    async def reset(self) -> None:
        """Everything works again."""
        await self._psp.clear_faults()
        await self._receiver.become("fine")

    async def _strike(self, strike: FaultInjection) -> None:
        kind = KINDS[strike.kind]
        match kind.group:
            case "psp":
                await self._psp_fault(strike)
            case "kill":
                async with self._one_process:
                    await self._kill(strike.kind, kind.acts_on)
            case "pause":
                async with self._one_process:
                    await self._pause(strike, kind.acts_on)
            case "target":
                async with self._one_mood:
                    await self._mood(strike, _MOODS[kind.acts_on])
            case _:
                return

    def _count(self, kind: str, times: int) -> None:
        if times:
            self.injected[kind] += times
        self.log.append((time.time(), f"{kind} ({times})"))

    async def _psp_fault(self, strike: FaultInjection) -> None:
        id = await self._psp.set_fault(KINDS[strike.kind].psp, strike.seed)
        await asyncio.sleep(strike.seconds)
        longest = time.monotonic() + _LONGEST_SECONDS
        while (hits := await self._psp.struck(id)) == 0:
            if time.monotonic() > longest:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._count(strike.kind, hits)
        await self._psp.remove_fault(id)

    async def _kill(self, kind: str, name: str) -> None:
        old = self._stack.run["pids"][name]
        os.kill(old, signal.SIGKILL)
        self._count(kind, 1)
        await until(lambda: self._stack.run["pids"][name] != old, _PATIENCE_SECONDS)

    async def _pause(self, strike: FaultInjection, name: str) -> None:
        pid = self._stack.run["pids"][name]
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(strike.seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        self._count(strike.kind, 1)

    async def _mood(self, strike: FaultInjection, mood: ReceiverMode) -> None:
        before = self._receiver.struck[mood]
        await self._receiver.become(mood)
        await asyncio.sleep(strike.seconds)
        if mood != "down":
            await until(lambda: self._receiver.struck[mood] > before, _LONGEST_SECONDS)
        await self._receiver.become("fine")
        self._count(strike.kind, 1 if mood == "down" else self._receiver.struck[mood] - before)


def _due(strike: FaultInjection, begun: Callable[[], int], over: asyncio.Event) -> bool:
    return begun() >= strike.at or over.is_set()
