"""A merchant of a deployment, with an account at its sandbox PSP."""

import re
import secrets
from dataclasses import dataclass

import httpx

from tests.containers.deployment import URL, Deployment

SANDBOX_CONTROL = "http://127.0.0.1:8090/_control"


@dataclass(frozen=True)
class Merchant:
    """Name and token of a merchant, and the secrets of its account at the PSP."""

    name: str
    token: str
    notification_url: str
    api_key: str
    webhook_secret: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate a request of this merchant."""
        return {"Authorization": f"Bearer {self.token}"}


def add_merchant(deployment: Deployment, name: str) -> Merchant:
    """Add a merchant by the command line, its account at the PSP, and its settings by the API."""
    created = deployment.integrator("merchant", "add", name, "--psp", "sandbox")
    route = re.search(r"https://\S+", created)
    assert route is not None, created
    token = deployment.integrator("token", "issue", name, "--label", "tests").strip()
    merchant = Merchant(
        name,
        token,
        route[0],
        f"sk_sandbox_{secrets.token_hex(16)}",
        f"whsec_{secrets.token_hex(16)}",
    )
    deployment.trust_proxy_in_sandbox()
    account = {
        "api_key": merchant.api_key,
        "webhook_secret": merchant.webhook_secret,
        "webhook_url": merchant.notification_url,
    }
    httpx.put(f"{SANDBOX_CONTROL}/accounts", json=account).raise_for_status()
    form = {"ApiKey": merchant.api_key, "WebhookSecret": merchant.webhook_secret}
    body = {"merchantSettings": [{"keyName": k, "keyValue": v} for k, v in form.items()]}
    with deployment.client() as client:
        response = client.put(f"{URL}/api/Settings", json=body, headers=merchant.headers)
    assert response.status_code == 200, response.text
    assert response.json()["isCreditCardValid"], response.text
    return merchant
