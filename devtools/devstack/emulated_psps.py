"""The PSPs that the sandbox PSP can play in a local run, each in its own dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from devtools.devstack.errors import DevStackError

KEY, WEBHOOK_SECRET = "{api_key}", "{webhook_secret}"


@dataclass(frozen=True)
class EmulatedPsp:
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


def emulated_psp(psp: str) -> EmulatedPsp:
    """The one of a PSP; raises `DevStackError`."""
    if psp not in EMULATED_PSPS:
        raise DevStackError(
            f"INTEGRATOR_DEMO_PSP must be one of: {', '.join(sorted(EMULATED_PSPS))}."
        )
    return EMULATED_PSPS[psp]


EMULATED_PSPS: Mapping[str, EmulatedPsp] = {
    "sandbox": EmulatedPsp("sandbox", {"ApiKey": KEY, "WebhookSecret": WEBHOOK_SECRET}),
    "stripe": EmulatedPsp(
        "stripe",
        {"ApiKey": KEY, "WebhookSecret": WEBHOOK_SECRET},
        {"INTEGRATOR_STRIPE_URL": "/stripe"},
    ),
    "gocardless": EmulatedPsp(
        "gocardless",
        {"AccessToken": KEY, "WebhookSecret": WEBHOOK_SECRET, "Environment": "sandbox"},
        {"INTEGRATOR_GOCARDLESS_URL": "/gocardless"},
    ),
    "billwerk_pay": EmulatedPsp(
        "billwerk_pay",
        {"PrivateKey": KEY, "WebhookSecret": WEBHOOK_SECRET},
        {
            "INTEGRATOR_BILLWERK_PAY_URL": "/billwerk_pay",
            "INTEGRATOR_BILLWERK_PAY_CHECKOUT_URL": "/billwerk_pay",
        },
    ),
}
