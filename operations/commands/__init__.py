"""The operators' commands. What they do is imported when they run: `--help` is quick."""

import typer

from operations.commands import decisions, doctor, reconcile, transactions, webhooks


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("explain")(transactions.explain)
    app.command("list")(transactions.list_transactions)
    app.command("attention")(decisions.attention)
    app.command("resolve")(decisions.resolve)
    app.command("decisions")(decisions.decisions)
    app.command("reconcile")(reconcile.reconcile)
    app.command("doctor")(doctor.doctor)
    app.add_typer(webhooks.app, name="webhook")
