"""HTTPS requirement: TLS in this process or in a trusted proxy."""

from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract_response import api_error_response
from api.errors import HttpsRequired
from integrator.settings import PREFIX, Settings

PROBE_PATHS = frozenset({"/healthz", "/readyz"})


class ConfigurationError(Exception):
    """The settings do not allow this API to be served."""


def require_https(settings: Settings) -> None:
    """Raise `ConfigurationError` if production would be served without HTTPS."""
    https = settings.tls_cert_file is not None or settings.trusted_proxies
    if settings.profile == "production" and not https:
        raise ConfigurationError(
            f"the production profile is served over HTTPS only: set {PREFIX}TLS_CERT_FILE and "
            f"{PREFIX}TLS_KEY_FILE, or {PREFIX}TRUSTED_PROXIES to the address of the proxy that "
            "ends TLS"
        )


def list_relaxations(settings: Settings) -> list[str]:
    """List what the development profile allows and production does not, for the log."""
    if settings.profile == "production":
        return []
    relaxations = ["change webhooks may go to plain HTTP and to loopback addresses"]
    if settings.tls_cert_file is None:
        relaxations.append(f"plain HTTP is served on {settings.bind}:{settings.api_port}")
    if settings.keys is None and settings.keys_file is None:
        relaxations.append(
            f"the encryption key is stored unprotected in {settings.data_dir.absolute()}"
        )
    return relaxations


class HttpsOnly:
    """ASGI middleware: refuses plain HTTP, except health probes from a private network.

    The scheme is the connection's, or the one reported by a trusted proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = scope["type"] == "http" and scope["scheme"] != "https"
        if plain and not (scope["path"] in PROBE_PATHS and is_internal(scope)):
            await api_error_response(HttpsRequired())(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_internal(scope: Scope) -> bool:
    """Whether the client is on this machine or in a private network."""
    try:
        return not ip_address(scope["client"][0]).is_global
    except (TypeError, ValueError):  # no address, or a proxy's "unknown"
        return False
