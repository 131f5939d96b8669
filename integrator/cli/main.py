"""The `integrator` command: manages merchants, access, keys and transactions.

A command's implementation is imported when it runs: `--help` is quick.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from integrator.cli import (
    access,
    decisions,
    deployment,
    development,
    doctor,
    healing,
    keys,
    quarantine,
    reconcile,
    transactions,
    webhooks,
    worker,
)

app = typer.Typer(
    help="Payment integrator between Billwerk+ Transform and payment service providers.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback could show secrets.
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(version("payment-integrator"))
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Payment integrator between Billwerk+ Transform and payment service providers."""


app.command("run")(development.run)
app.command("demo")(development.demo)
app.command("migrate")(deployment.migrate)
app.command("codec-server")(deployment.codec_server)
app.command("erase")(keys.erase)
app.add_typer(access.merchant_app, name="merchant")
app.add_typer(access.token_app, name="token")
app.add_typer(access.client_app, name="client")
app.add_typer(access.settings_app, name="settings")
app.add_typer(keys.app, name="keys")
app.command("explain")(transactions.explain)
app.command("list")(transactions.list_transactions)
app.command("attention")(decisions.attention)
app.command("resolve")(decisions.resolve)
app.command("decisions")(decisions.decisions)
app.command("reconcile")(reconcile.reconcile)
app.command("doctor")(doctor.doctor)
app.command("heal")(healing.heal)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(webhooks.app, name="webhook")
app.add_typer(worker.app, name="worker")

if __name__ == "__main__":
    app()
