"""Adapter of GoCardless: bank debits by mandate in SEPA, Autogiro and Betalingsservice."""

from integrator.psp.gocardless.adapter import GoCardlessAdapter

__all__ = ["ADAPTER", "GoCardlessAdapter"]

ADAPTER = GoCardlessAdapter()
