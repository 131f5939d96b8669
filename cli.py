"""The `integrator` command: runs the stack on this machine, administers it and operates it."""

import typer

import local.commands
import operations.commands

app = typer.Typer(
    help="Payment integrator between Billwerk+ Transform and payment service providers.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback could show what must not be seen.
    pretty_exceptions_enable=False,
)
local.commands.register(app)
operations.commands.register(app)

if __name__ == "__main__":
    app()
