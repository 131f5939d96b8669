"""The commands that run the stack on this machine and administer merchants, access and keys.

What they do is imported when they run: `--help` is quick.
"""

import typer

from local.commands import access, keys, stack


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("run")(stack.run)
    app.command("demo")(stack.demo)
    app.command("migrate")(stack.migrate)
    app.command("codec-server")(stack.codec_server)
    app.command("erase")(keys.erase)
    app.add_typer(access.merchant_app, name="merchant")
    app.add_typer(access.token_app, name="token")
    app.add_typer(access.client_app, name="client")
    app.add_typer(access.settings_app, name="settings")
    app.add_typer(keys.app, name="keys")
