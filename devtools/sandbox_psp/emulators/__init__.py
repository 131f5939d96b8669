"""Emulators of other PSPs' APIs, on the sandbox's own ledger, cards, magic amounts and faults.

The modules directly in `devtools.sandbox_psp` are the engine of all of them. Each emulator is
mounted under its name (`/stripe/...`); an account belongs to one emulator (`dialect` in the control
API), which also builds its webhooks. They replace PSPs that a test cannot reach, and do not prove
how those really behave.
"""

from collections.abc import Mapping

from devtools.sandbox_psp.emulators.base import Emulator, SignedWebhook
from devtools.sandbox_psp.emulators.billwerk_pay import BillwerkPayEmulator
from devtools.sandbox_psp.emulators.gocardless import GoCardlessEmulator
from devtools.sandbox_psp.emulators.native import NativeEmulator
from devtools.sandbox_psp.emulators.stripe import StripeEmulator

__all__ = ["EMULATORS", "Emulator", "SignedWebhook"]

EMULATORS: Mapping[str, Emulator] = {
    emulator.name: emulator
    for emulator in (
        NativeEmulator(),
        GoCardlessEmulator(),
        BillwerkPayEmulator(),
        StripeEmulator(),
    )
}
