"""The PSPs that the sandbox PSP can play in a local run, each in its own dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from local.errors import LocalError

KEY, WEBHOOK_SECRET = "{api_key}", "{webhook_secret}"


@dataclass(frozen=True)
class StandIn:
    """One PSP played by the sandbox PSP.

    `form` holds the values of its settings form, with places for the demo merchant's secrets;
    `addresses` are the variables by which its adapter is sent here, with the path behind the
    sandbox PSP's address.
    """

    dialect: str
    form: Mapping[str, str]
    addresses: Mapping[str, str] = field(default_factory=dict)

    def filled(self, api_key: str, webhook_secret: str) -> dict[str, str]:
        """The settings form of a merchant with these secrets."""
        places = {KEY: api_key, WEBHOOK_SECRET: webhook_secret}
        return {name: places.get(value, value) for name, value in self.form.items()}


def stand_in(psp: str) -> StandIn:
    """The one of a PSP; raises `LocalError`."""
    if psp not in STAND_INS:
        raise LocalError(f"INTEGRATOR_DEMO_PSP must be one of: {', '.join(sorted(STAND_INS))}.")
    return STAND_INS[psp]


STAND_INS: Mapping[str, StandIn] = {
    "sandbox": StandIn("sandbox", {"ApiKey": KEY, "WebhookSecret": WEBHOOK_SECRET}),
    "stripe": StandIn(
        "stripe",
        {"ApiKey": KEY, "WebhookSecret": WEBHOOK_SECRET},
        {"INTEGRATOR_STRIPE_URL": "/stripe"},
    ),
    "gocardless": StandIn(
        "gocardless",
        {"AccessToken": KEY, "WebhookSecret": WEBHOOK_SECRET, "Environment": "sandbox"},
        {"INTEGRATOR_GOCARDLESS_URL": "/gocardless"},
    ),
    "billwerk_pay": StandIn(
        "billwerk_pay",
        {"PrivateKey": KEY, "WebhookSecret": WEBHOOK_SECRET},
        {
            "INTEGRATOR_BILLWERK_PAY_URL": "/billwerk_pay",
            "INTEGRATOR_BILLWERK_PAY_CHECKOUT_URL": "/billwerk_pay",
        },
    ),
}
