"""How callers reach this process: HTTPS, by itself or by a proxy that is known."""

from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract_response import refusal
from api.errors import HttpsRequired
from integrator.settings import PREFIX, Settings

PROBES = frozenset({"/healthz", "/readyz"})


class ConfigurationError(Exception):
    """The settings do not allow this API to be served."""


def require_transport(settings: Settings) -> None:
    """Raises `ConfigurationError` where production would be served without HTTPS."""
    https = settings.tls_cert_file is not None or settings.trusted_proxies
    if settings.profile == "production" and not https:
        raise ConfigurationError(
            f"the production profile is served over HTTPS only: set {PREFIX}TLS_CERT_FILE and "
            f"{PREFIX}TLS_KEY_FILE, or {PREFIX}TRUSTED_PROXIES to the address of the proxy that "
            "ends TLS"
        )


def opened(settings: Settings) -> list[str]:
    """What the development profile lets pass and production does not, for the log."""
    if settings.profile == "production":
        return []
    doors = ["change webhooks may go to plain HTTP and to loopback addresses"]
    if settings.tls_cert_file is None:
        doors.append(f"plain HTTP is served on {settings.bind}:{settings.api_port}")
    if settings.keys is None and settings.keys_file is None:
        doors.append(f"the encryption key lies unprotected in {settings.data_dir.absolute()}")
    return doors


class HttpsOnly:
    """ASGI middleware: refuses plain HTTP, except to probes from within the network.

    The scheme is the connection's, or what a trusted proxy said it was.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = scope["type"] == "http" and scope["scheme"] != "https"
        if plain and not (scope["path"] in PROBES and is_internal(scope)):
            await refusal(HttpsRequired())(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_internal(scope: Scope) -> bool:
    """Whether the client is on this machine or in a private network."""
    try:
        return not ip_address(scope["client"][0]).is_global
    except (TypeError, ValueError):  # no address, or what a proxy calls unknown
        return False
