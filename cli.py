"""The `integrator` command: runs the stack on this machine and administers merchants."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from codec_server.__main__ import main as serve_codec
from local import clients, keys, keys_shown, merchants, temporal
from local.errors import LocalError
from runtime.keys import DecryptionError, KeyConfigurationError
from runtime.settings import PREFIX, Settings
from store import ApiToken, StoreUnavailable

T = TypeVar("T")

app = typer.Typer(
    help="Payment integrator between Billwerk+ Transform and payment service providers.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback could show what must not be seen.
    pretty_exceptions_enable=False,
)
merchant_app = typer.Typer(help="Merchants and the PSP of each.", no_args_is_help=True)
token_app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True)
client_app = typer.Typer(help="OAuth 2.0 clients of the API.", no_args_is_help=True)
settings_app = typer.Typer(help="PSP settings of a merchant.", no_args_is_help=True)
keys_app = typer.Typer(help="Encryption keys.", no_args_is_help=True)
app.add_typer(merchant_app, name="merchant")
app.add_typer(token_app, name="token")
app.add_typer(client_app, name="client")
app.add_typer(settings_app, name="settings")
app.add_typer(keys_app, name="keys")
worker_app = typer.Typer(help="Which code works, and which is to.", no_args_is_help=True)
app.add_typer(worker_app, name="worker")

MerchantName = Annotated[str, typer.Argument(metavar="MERCHANT", help="Name of the merchant.")]


@app.command()
def run() -> None:
    """Run everything on this machine until Ctrl-C: Temporal, sandbox PSP, worker and API."""
    from local.run import run as run_stack

    _leave_after(lambda: run_stack(Settings(), Console()))


@app.command()
def demo() -> None:
    """Play one customer's life against the running stack, or one started for it."""
    from local.demo.main import demo as play

    _leave_after(lambda: play(Settings(), Console()))


@app.command()
def migrate(
    with_temporal: Annotated[
        bool,
        typer.Option("--temporal/--no-temporal", help="Also prepare the Temporal namespace."),
    ] = True,
) -> None:
    """Bring the database schema and the search attributes in Temporal up to date."""
    settings = _settings()
    _do(merchants.migrate(settings))
    typer.echo("The database schema is up to date.")
    if not with_temporal:
        return

    async def register() -> int:
        added = await temporal.register_attributes(settings)
        typer.echo(f"Search attributes added: {', '.join(added) or 'none, all are there'}.")
        return 0

    _leave_after(register)


@app.command("codec-server")
def codec_server() -> None:
    """Serve decrypted payloads to the Temporal Web UI, for holders of the operators' token."""
    serve_codec()


@merchant_app.command("add")
def add_merchant(
    name: MerchantName,
    psp: Annotated[str, typer.Option(help="Name of the PSP adapter.")] = "sandbox",
) -> None:
    """Create a merchant."""
    settings = _settings()
    merchant = _do(merchants.add(settings, name, psp))
    route = f"{settings.resolved_public_url}/api/notifications/{psp}/{merchant.psp_settings_id}"
    typer.echo(f"Merchant {merchant.id} created; its PSP sends notifications to {route}")


@merchant_app.command("list")
def list_merchants() -> None:
    """Show all merchants."""
    table = Table("Merchant", "PSP", "PSP settings id", "Created")
    for merchant in _do(merchants.every(_settings())):
        created = _minute(merchant.created_at)
        table.add_row(merchant.id, merchant.psp, merchant.psp_settings_id, created)
    Console().print(table)


@merchant_app.command("hosts")
def allow_webhook_hosts(
    name: MerchantName,
    hosts: Annotated[
        list[str] | None, typer.Argument(help="Host names; none: back to all.")
    ] = None,
) -> None:
    """Set the hosts that the merchant's change webhooks may go to."""
    _do(merchants.allow_webhook_hosts(_settings(), name, hosts or []))
    shown = ", ".join(sorted(hosts)) if hosts else "those allowed for all merchants"
    typer.echo(f"Change webhooks of {name} may go to: {shown}")


@token_app.command("issue")
def issue_token(
    name: MerchantName,
    label: Annotated[str, typer.Option(help="What the token is for.")] = "command line",
    days: Annotated[
        float | None, typer.Option(min=0, help="How long it is valid; for ever if not given.")
    ] = None,
) -> None:
    """Create a bearer token and show it, this once. Tokens issued before stay valid."""
    valid_for = timedelta(days=days) if days is not None else None
    typer.echo(_do(merchants.issue_token(_settings(), name, label, valid_for)))


@token_app.command("list")
def list_tokens(name: MerchantName) -> None:
    """Show a merchant's tokens: not themselves, but what is known of them."""
    table = Table("Id", "Label", "State", "Created", "Last used", "Expires")
    for token in _do(merchants.tokens(_settings(), name)):
        table.add_row(
            token.id,
            token.label,
            _token_state(token),
            *(_minute(at) for at in (token.created_at, token.last_used_at, token.expires_at)),
        )
    Console().print(table)


@token_app.command("revoke")
def revoke_token(
    name: MerchantName,
    token_id: Annotated[str, typer.Argument(help="Id as `token list` shows it.")],
) -> None:
    """End a token's validity, at once and for ever."""
    _do(merchants.revoke_token(_settings(), name, token_id))
    typer.echo(f"Token {token_id} is revoked.")


@client_app.command("add")
def add_client(
    name: MerchantName,
    label: Annotated[str, typer.Option(help="What the client is for.")] = "command line",
) -> None:
    """Create an OAuth client and show its secret, this once. Earlier clients stay valid."""
    client_id, secret = _do(clients.add(_settings(), name, label))
    typer.echo(f"client_id={client_id}\nclient_secret={secret}")


@client_app.command("list")
def list_clients(name: MerchantName) -> None:
    """Show a merchant's OAuth clients, not their secrets."""
    table = Table("Client id", "Label", "State", "Created", "Last used")
    for client in _do(clients.every(_settings(), name)):
        state = "valid" if client.revoked_at is None else "revoked"
        times = (_minute(client.created_at), _minute(client.last_used_at))
        table.add_row(client.id, client.label, state, *times)
    Console().print(table)


@client_app.command("revoke")
def revoke_client(
    name: MerchantName,
    client_id: Annotated[str, typer.Argument(help="Id as `client list` shows it.")],
) -> None:
    """End a client's validity and that of all its access tokens, at once and for ever."""
    _do(clients.revoke(_settings(), name, client_id))
    typer.echo(f"Client {client_id} is revoked.")


@settings_app.command("show")
def show_settings(name: MerchantName) -> None:
    """Show which PSP settings of a merchant are filled in, not their values."""
    table = Table("Setting", "Value")
    for state in _do(merchants.setting_states(_settings(), name)):
        table.add_row(state.key, "********" if state.is_set else "not set")
    Console().print(table)


@app.command()
def erase(
    agreement: Annotated[str, typer.Option(help="The agreement's id.")],
    merchant: Annotated[
        str | None, typer.Option(help="Name of the merchant; needed if several have the id.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what is personal of an agreement, for good; amounts, states and ids stay."""
    settings = _settings()
    merchant = merchant or _do(keys.merchant_of(settings, agreement))
    found = _do(keys.holdings(settings, merchant, agreement))
    typer.echo(keys_shown.announced(merchant, agreement, found))
    if not yes:
        typer.confirm("Erase it for good?", abort=True)
    clean = _do(keys.erase(settings, merchant, agreement))
    typer.echo(keys_shown.erased(merchant, agreement, found, clean=clean))


@keys_app.command("generate")
def generate_key() -> None:
    """Print a new key as an entry for the key ring, `id:base64`."""
    typer.echo(keys.new_entry())


@keys_app.command("rotate")
def rotate_keys() -> None:
    """Seal everything in the store with the active key, the first of the ring."""
    settings = _settings()
    with keys_shown.bar("sealing anew") as progress:
        result = _do(keys.rotate(settings, progress))
    typer.echo(keys_shown.rotated(result))
    if result.left:
        raise typer.Exit(1)


@keys_app.command("usage")
def key_usage(
    histories: Annotated[
        int | None, typer.Option(min=0, help="Read so many histories; all if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show which key is in use where, in the store and in Temporal."""

    async def show() -> int:
        settings = Settings()
        with keys_shown.bar("reading histories") as progress:
            usage = await keys.usage(settings, histories, progress)
        if as_json:
            typer.echo(keys_shown.as_json(usage))
        else:
            keys_shown.show(usage, Console())
        return 0

    _leave_after(show)


@worker_app.command("versions")
def worker_versions() -> None:
    """Show which workers poll and, with a deployment, which version gets the work."""
    from operations import versions

    async def show() -> int:
        found = await versions.look(Settings())
        pollers = Table("Worker", "Build id", "Seen")
        for poller in found.pollers:
            pollers.add_row(poller.identity, poller.build_id or "-", _minute(poller.seen_at))
        listed = Table("Build id", "State", "Created", "Current since")
        for one in found.versions:
            times = (_minute(one.created_at), _minute(one.current_since))
            listed.add_row(one.build_id, one.status, *times)
        console = Console(width=None if sys.stdout.isatty() else 200)
        console.print(pollers, listed, sep="\n")
        return 0

    _leave_after(show)


@worker_app.command("promote")
def promote_worker(
    build_id: Annotated[str, typer.Argument(help="Build id as `worker versions` shows it.")],
) -> None:
    """Give all work, also that of running transactions, to the workers of this build id."""
    from operations import versions

    async def promote() -> int:
        await versions.promote(Settings(), build_id)
        typer.echo(f"{build_id} is the current version.")
        return 0

    _leave_after(promote)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns what an operator can act on into one message and exit code 1."""
    try:
        yield
    except ValidationError as error:
        _fail("\n".join(_configuration_errors(error)))
    except (LocalError, KeyConfigurationError) as error:
        _fail(str(error))
    except DecryptionError as error:
        _fail(f"{error}. Are these the encryption keys that the database was written with?")
    except StoreUnavailable as error:
        _fail(f"The database does not answer ({error}). Has `integrator migrate` been run?")
    except (SQLAlchemyError, OSError) as error:
        # Without the statement, its parameters or the address, which may hold secrets.
        cause = getattr(error, "orig", None) or error
        _fail(f"It did not work: {type(cause).__name__}: {cause}")


def _token_state(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    expired = token.expires_at is not None and token.expires_at <= datetime.now(UTC)
    return "expired" if expired else "valid"


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else "-"


def _settings() -> Settings:
    with plain_errors():
        return Settings()


def _do(work: Coroutine[Any, Any, T]) -> T:
    with plain_errors():
        return asyncio.run(work)


def _configuration_errors(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place = "".join(f"{PREFIX}{part}".upper() + ": " for part in problem["loc"][:1])
        yield place + problem["msg"]


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _leave_after(work: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Do the work and end the process with the exit code it returns."""
    try:
        with plain_errors():
            code = asyncio.run(work())
    except typer.Exit as ending:
        code = ending.exit_code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # The Temporal SDK's native threads can abort the interpreter's own exit (sdk-python#300).
    os._exit(code)


if __name__ == "__main__":
    app()
