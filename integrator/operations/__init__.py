"""What operators do at the command line with transactions, webhooks, reconciliation and the system.

Modules named after a command's verb do the work on a store and a gateway; `shown` turns results
into text, and `commands` makes Typer commands of them. Whatever is heavy to import is imported by
the command that needs it.
"""
