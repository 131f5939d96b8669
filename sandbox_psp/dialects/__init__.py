"""Other PSPs' dialects: the same ledger, cards, steering and faults behind their APIs.

Each is mounted under its name (`/stripe/...`); an account belongs to one dialect, which also
words its webhooks. They stand in for PSPs that cannot be reached from a test, and are no proof
of how those really behave.
"""

from collections.abc import Mapping

from sandbox_psp.dialects.base import Dialect, Outgoing
from sandbox_psp.dialects.billwerk_pay import BillwerkPayDialect
from sandbox_psp.dialects.gocardless import GoCardlessDialect
from sandbox_psp.dialects.own import OwnDialect
from sandbox_psp.dialects.stripe import StripeDialect

__all__ = ["DIALECTS", "Dialect", "Outgoing"]

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (OwnDialect(), GoCardlessDialect(), BillwerkPayDialect(), StripeDialect())
}
