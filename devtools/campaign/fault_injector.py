"""Inject faults during traffic and count their effects."""

import asyncio
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from devtools.campaign.fault_schedule import FAULT_KINDS, FaultGroup, FaultInjection
from devtools.campaign.key_rotation import KeyRotation
from devtools.campaign.operator_faults import OperatorFaults
from devtools.campaign.polling import wait_until
from devtools.campaign.psp import SandboxPspClient
from devtools.campaign.receiver import ReceiverMode, WebhookReceiver
from devtools.campaign.stack import Stack
from devtools.campaign.temporal_backup import TemporalBackup

_RESTART_TIMEOUT_SECONDS = 30.0
_MAX_EXTRA_SECONDS = 6.0
"""How much longer a fault lasts if it has not affected any call yet."""
_POLL_SECONDS = 0.3

_RECEIVER_MODES: dict[str, ReceiverMode] = {
    "down": "down",
    "slow": "slow",
    "500": "500",
    "503": "503",
}


class FaultInjector:
    """Injects scheduled faults; those of the PSP may overlap with any other.

    `injected` counts affected calls for the PSP's faults, affected attempts for the webhook target
    (occurrences for "down"), affected transactions for an operator's operations on workflows, PSP
    calls and signals, and occurrences for processes, backups and keys.
    """

    def __init__(
        self,
        stack: Stack,
        psp: SandboxPspClient,
        receiver: WebhookReceiver,
        operator: OperatorFaults,
        rotation: KeyRotation,
        erase: Callable[[str], Awaitable[None]],
    ) -> None:
        self.injected: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self._stack = stack
        self._psp = psp
        self._receiver = receiver
        self._operator = operator
        self._rotation = rotation
        self._erase = erase
        self._backup = TemporalBackup(stack)
        self._process_lock = asyncio.Lock()
        self._receiver_lock = asyncio.Lock()
        self._backup_lock = asyncio.Lock()
        self._handlers: Mapping[FaultGroup, Callable[[FaultInjection], Awaitable[None]]] = {
            "psp": self._inject_psp_fault,
            "kill": self._kill,
            "pause": self._pause,
            "target": self._set_receiver_mode,
            "workflow": self._change_workflows,
            "activity": self._change_activities,
            "signal": self._send_signals,
            "backup": self._restore_backup,
            "credentials": self._rotate_key,
            "erasure": self._erase_customer,
        }

    async def run(
        self,
        schedule: Sequence[FaultInjection],
        progress: Callable[[], int],
        traffic_ended: asyncio.Event,
    ) -> None:
        """Inject every fault when it is due; skip those that remain when traffic has ended."""
        running: list[asyncio.Task[None]] = []
        for injection in schedule:
            due = partial(_is_due, injection, progress, traffic_ended)
            await wait_until(due, math.inf)
            if traffic_ended.is_set():
                break
            running.append(asyncio.create_task(self._inject(injection)))
        await asyncio.gather(*running)

    async def reset(self) -> None:
        """Remove all faults."""
        await self._psp.clear_faults()
        await self._receiver.set_mode("fine")

    async def _inject(self, injection: FaultInjection) -> None:
        await self._handlers[FAULT_KINDS[injection.kind].group](injection)

    def _count(self, kind: str, times: int) -> None:
        if times:
            self.injected[kind] += times
        self.log.append((time.time(), f"{kind} ({times})"))

    async def _inject_psp_fault(self, injection: FaultInjection) -> None:
        id = await self._psp.set_fault(FAULT_KINDS[injection.kind].psp_fault, injection.seed)
        await asyncio.sleep(injection.seconds)
        deadline = time.monotonic() + _MAX_EXTRA_SECONDS
        while (hits := await self._psp.hit_count(id)) == 0:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_POLL_SECONDS)
        self._count(injection.kind, hits)
        await self._psp.remove_fault(id)

    async def _kill(self, injection: FaultInjection) -> None:
        name = FAULT_KINDS[injection.kind].target
        async with self._process_lock:
            pid = self._stack.run["pids"][name]
            os.kill(pid, signal.SIGKILL)
            self._count(injection.kind, 1)
            await wait_until(lambda: self._stack.run["pids"][name] != pid, _RESTART_TIMEOUT_SECONDS)

    async def _pause(self, injection: FaultInjection) -> None:
        async with self._process_lock:
            pid = self._stack.run["pids"][FAULT_KINDS[injection.kind].target]
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(injection.seconds)
            finally:
                os.kill(pid, signal.SIGCONT)
        self._count(injection.kind, 1)

    async def _change_workflows(self, injection: FaultInjection) -> None:
        operation = FAULT_KINDS[injection.kind].target
        done = await self._operator.change_workflows(operation, injection.seed)
        self._count(injection.kind, done)

    async def _send_signals(self, injection: FaultInjection) -> None:
        malformation = FAULT_KINDS[injection.kind].target
        sent = await self._operator.send_signals(malformation, injection.seed)
        self._count(injection.kind, sent)

    async def _change_activities(self, injection: FaultInjection) -> None:
        kind = FAULT_KINDS[injection.kind]
        fault = await self._psp.set_fault(kind.psp_fault, injection.seed)
        done = await self._operator.change_activities(kind.target, injection.seconds)
        self._count(injection.kind, done)
        await self._psp.remove_fault(fault)

    async def _restore_backup(self, injection: FaultInjection) -> None:
        """Let Temporal forget everything since a moment some seconds ago."""
        async with self._backup_lock:
            await self._backup.take()
            await asyncio.sleep(injection.seconds)
            async with self._process_lock:
                self._operator.interrupt_all()
                self._count(injection.kind, int(await self._backup.restore()))
                # Those requested until the server was down are forgotten, too.
                self._operator.interrupt_all()

    async def _rotate_key(self, injection: FaultInjection) -> None:
        """Let the PSP reject the merchant's key after attempts whose outcome is unknown."""
        fault = await self._psp.set_fault(FAULT_KINDS[injection.kind].psp_fault, injection.seed)
        await self._operator.wait_for_psp_call(_MAX_EXTRA_SECONDS)
        async with self._process_lock:
            key = await self._rotation.replace_at_psp()
        await self._psp.remove_fault(fault)
        await asyncio.sleep(injection.seconds)
        saved = await self._rotation.save(key, self._stack.demo["webhook_secret"])
        self._count(injection.kind, int(saved))

    async def _erase_customer(self, injection: FaultInjection) -> None:
        fault = await self._psp.set_fault(FAULT_KINDS[injection.kind].psp_fault, injection.seed)
        done = await self._operator.erase_customer(
            self._psp.has_charged, self._erase, injection.seconds
        )
        await self._psp.remove_fault(fault)
        self._count(injection.kind, done)

    async def _set_receiver_mode(self, injection: FaultInjection) -> None:
        mode = _RECEIVER_MODES[FAULT_KINDS[injection.kind].target]
        async with self._receiver_lock:
            before = self._receiver.hits[mode]
            await self._receiver.set_mode(mode)
            await asyncio.sleep(injection.seconds)
            if mode != "down":
                await wait_until(lambda: self._receiver.hits[mode] > before, _MAX_EXTRA_SECONDS)
            await self._receiver.set_mode("fine")
            hits = 1 if mode == "down" else self._receiver.hits[mode] - before
            self._count(injection.kind, hits)


def _is_due(
    injection: FaultInjection, progress: Callable[[], int], traffic_ended: asyncio.Event
) -> bool:
    return progress() >= injection.after_transactions or traffic_ended.is_set()
