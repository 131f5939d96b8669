"""Which addresses change webhooks may be sent to."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from api.errors import invalid_data
from integrator.settings import Settings
from integrator.store import Merchant


def check_webhook_target(target: str, merchant: Merchant, settings: Settings) -> None:
    """Refuse an address that could be used to reach into the network this runs in.

    With an allow-list, the merchant's own or that of all, the list decides about the host;
    production takes nothing but https, and without a list no address of its own network. What a
    name leads to is judged when it is connected to.
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
