"""Other PSPs' dialects: the same ledger, cards, steering and faults behind their APIs.

Each is mounted under its name (`/stripe/...`); an account belongs to one dialect, which also
words its webhooks. They stand in for PSPs that cannot be reached from a test, and are no proof
of how those really behave.
"""

from collections.abc import Mapping

from devtools.sandbox_psp.emulators.base import Emulator, SignedWebhook
from devtools.sandbox_psp.emulators.billwerk_pay import BillwerkPayEmulator
from devtools.sandbox_psp.emulators.gocardless import GoCardlessEmulator
from devtools.sandbox_psp.emulators.native import NativeEmulator
from devtools.sandbox_psp.emulators.stripe import StripeEmulator

__all__ = ["EMULATORS", "Emulator", "SignedWebhook"]

EMULATORS: Mapping[str, Emulator] = {
    dialect.name: dialect
    for dialect in (NativeEmulator(), GoCardlessEmulator(), BillwerkPayEmulator(), StripeEmulator())
}
