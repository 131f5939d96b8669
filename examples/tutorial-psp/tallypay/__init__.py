"""Adapter of TallyPay, an imaginary PSP for SEPA direct debits."""

from tallypay.adapter import TallyPayAdapter

__all__ = ["ADAPTER"]

ADAPTER = TallyPayAdapter()
