"""Commands for merchants, their API tokens, OAuth clients and PSP settings."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.operations import command_runner, output

if TYPE_CHECKING:
    from integrator.store import ApiToken

merchant_app = typer.Typer(help="Merchants and the PSP of each.", no_args_is_help=True)
token_app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True)
client_app = typer.Typer(help="OAuth 2.0 clients of the API.", no_args_is_help=True)
settings_app = typer.Typer(help="PSP settings of a merchant.", no_args_is_help=True)

MerchantName = Annotated[str, typer.Argument(metavar="MERCHANT", help="Name of the merchant.")]


@merchant_app.command("add")
def add_merchant(
    name: MerchantName,
    psp: Annotated[str, typer.Option(help="Name of the PSP adapter.")] = "sandbox",
) -> None:
    """Create a merchant."""
    from integrator.admin import merchants

    settings = command_runner.load_settings()
    merchant = command_runner.run(merchants.add(settings, name, psp))
    route = f"{settings.resolved_public_url}/api/notifications/{psp}/{merchant.psp_settings_id}"
    typer.echo(f"Merchant {merchant.id} created; its PSP sends notifications to {route}")


@merchant_app.command("list")
def list_merchants() -> None:
    """Show all merchants."""
    from integrator.admin import merchants

    rows = (
        (
            merchant.id,
            merchant.psp,
            merchant.psp_settings_id,
            output.format_minute(merchant.created_at),
        )
        for merchant in command_runner.run(merchants.list_all(command_runner.load_settings()))
    )
    output.print_table(("Merchant", "PSP", "PSP settings id", "Created"), rows)


@merchant_app.command("hosts")
def allow_webhook_hosts(
    name: MerchantName,
    hosts: Annotated[
        list[str] | None, typer.Argument(help="Host names; without any, all allowed hosts.")
    ] = None,
) -> None:
    """Set the hosts that the merchant's change webhooks may go to."""
    from integrator.admin import merchants

    command_runner.run(
        merchants.allow_webhook_hosts(command_runner.load_settings(), name, hosts or [])
    )
    allowed = ", ".join(sorted(hosts)) if hosts else "those allowed for all merchants"
    typer.echo(f"Change webhooks of {name} may go to: {allowed}")


@token_app.command("issue")
def issue_token(
    name: MerchantName,
    label: Annotated[str, typer.Option(help="What the token is for.")] = "command line",
    days: Annotated[
        float | None, typer.Option(min=0, help="Days of validity; unlimited if not given.")
    ] = None,
) -> None:
    """Create a bearer token and show it once. Earlier tokens stay valid."""
    from integrator.admin import merchants

    valid_for = timedelta(days=days) if days is not None else None
    typer.echo(
        command_runner.run(
            merchants.issue_token(command_runner.load_settings(), name, label, valid_for)
        )
    )


@token_app.command("list")
def list_tokens(name: MerchantName) -> None:
    """Show a merchant's tokens with label, state and times, without the secrets."""
    from integrator.admin import merchants

    rows = (
        (
            token.id,
            token.label,
            _token_state(token),
            *map(output.format_minute, (token.created_at, token.last_used_at, token.expires_at)),
        )
        for token in command_runner.run(merchants.tokens(command_runner.load_settings(), name))
    )
    output.print_table(("Id", "Label", "State", "Created", "Last used", "Expires"), rows)


@token_app.command("revoke")
def revoke_token(
    name: MerchantName,
    token_id: Annotated[str, typer.Argument(help="Id as `token list` shows it.")],
) -> None:
    """Revoke a token immediately and permanently."""
    from integrator.admin import merchants

    command_runner.run(merchants.revoke_token(command_runner.load_settings(), name, token_id))
    typer.echo(f"Token {token_id} is revoked.")


@client_app.command("add")
def add_client(
    name: MerchantName,
    label: Annotated[str, typer.Option(help="What the client is for.")] = "command line",
) -> None:
    """Create an OAuth client and show its secret once. Earlier clients stay valid."""
    from integrator.admin import oauth_clients

    client_id, secret = command_runner.run(
        oauth_clients.add(command_runner.load_settings(), name, label)
    )
    typer.echo(f"client_id={client_id}\nclient_secret={secret}")


@client_app.command("list")
def list_clients(name: MerchantName) -> None:
    """Show a merchant's OAuth clients, not their secrets."""
    from integrator.admin import oauth_clients

    rows = (
        (
            client.id,
            client.label,
            "valid" if client.revoked_at is None else "revoked",
            *map(output.format_minute, (client.created_at, client.last_used_at)),
        )
        for client in command_runner.run(
            oauth_clients.list_all(command_runner.load_settings(), name)
        )
    )
    output.print_table(("Client id", "Label", "State", "Created", "Last used"), rows)


@client_app.command("revoke")
def revoke_client(
    name: MerchantName,
    client_id: Annotated[str, typer.Argument(help="Id as `client list` shows it.")],
) -> None:
    """Revoke a client and all its access tokens immediately and permanently."""
    from integrator.admin import oauth_clients

    command_runner.run(oauth_clients.revoke(command_runner.load_settings(), name, client_id))
    typer.echo(f"Client {client_id} is revoked.")


@settings_app.command("show")
def show_settings(name: MerchantName) -> None:
    """Show which PSP settings of a merchant are filled in, not their values."""
    from integrator.admin import merchants

    states = command_runner.run(merchants.setting_states(command_runner.load_settings(), name))
    rows = ((state.key, "********" if state.is_set else "not set") for state in states)
    output.print_table(("Setting", "Value"), rows)


def _token_state(token: "ApiToken") -> str:
    if token.revoked_at is not None:
        return "revoked"
    expired = token.expires_at is not None and token.expires_at <= datetime.now(UTC)
    return "expired" if expired else "valid"
