"""Operators' commands for transactions, webhooks, reconciliation and the system.

The modules do the work on a store and a transaction client and render the results;
`integrator.cli` turns them into Typer commands. Heavy imports are made by the command that needs
them.
"""
