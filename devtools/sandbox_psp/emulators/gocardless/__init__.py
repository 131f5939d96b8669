"""GoCardless' dialect: mandates by billing request, and payments, refunds and events with them.

Shapes follow the official client's fixtures. Simplified: one creditor, banks that decide within
`SANDBOX_SETTLE_SECONDS` whatever the charge date, mandates that are active at once, no payouts.
"""

from devtools.sandbox_psp.emulators.gocardless.emulator import GoCardlessEmulator

__all__ = ["GoCardlessEmulator"]
