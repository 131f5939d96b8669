"""Check of the addresses that change webhooks are sent to."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from api.errors import invalid_data
from integrator.settings import Settings
from integrator.store import Merchant


def check_webhook_target(target: str, merchant: Merchant, settings: Settings) -> None:
    """Refuse an address that could reach into the internal network (SSRF).

    With an allow-list, the merchant's or the global one, the host must be on it. Production
    accepts only https, and without a list no internal address. The address that a name resolves
    to is checked when connecting.
    """
    parts = urlsplit(target)
    host = (parts.hostname or "").rstrip(".")
    allowed = merchant.webhook_hosts or settings.webhook_allowed_hosts
    if allowed and host not in allowed:
        raise invalid_data("webhookTarget is not on a host that is allowed.")
    if settings.profile != "production":
        return
    if parts.scheme != "https":
        raise invalid_data("webhookTarget must be an https URL.")
    if not allowed and _is_internal(host):
        raise invalid_data("webhookTarget must be on a public host.")


def _is_internal(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
