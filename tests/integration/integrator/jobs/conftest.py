"""Fixtures of the activities' tests: the same store, PSP and transaction client."""

from tests.integration.activities.conftest import (
    activities,
    break_store,
    empty_database,
    factory,
    merchant,
    psp,
    store,
    transaction_client,
)

__all__ = [
    "activities",
    "break_store",
    "empty_database",
    "factory",
    "merchant",
    "psp",
    "store",
    "transaction_client",
]
