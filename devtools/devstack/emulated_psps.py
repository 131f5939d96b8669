"""PSPs that the sandbox PSP can emulate in a local run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from devtools.devstack.errors import DevStackError

API_KEY, WEBHOOK_SECRET = "{api_key}", "{webhook_secret}"


@dataclass(frozen=True)
class EmulatedPsp:
    """One PSP emulated by the sandbox PSP.

    `form` holds the values of its settings form, with placeholders for the demo merchant's secrets;
    `addresses` maps the environment variables that set its adapter's URLs to the path below the
    sandbox PSP's address.
    """

    emulator: str
    form: Mapping[str, str]
    addresses: Mapping[str, str] = field(default_factory=dict)

    def settings_form(self, api_key: str, webhook_secret: str) -> dict[str, str]:
        """Return the settings form of a merchant with these secrets."""
        values = {API_KEY: api_key, WEBHOOK_SECRET: webhook_secret}
        return {name: values.get(value, value) for name, value in self.form.items()}


def get_emulated_psp(psp: str) -> EmulatedPsp:
    """Return the emulated PSP of this name; raises `DevStackError` if there is none."""
    if psp not in EMULATED_PSPS:
        raise DevStackError(
            f"INTEGRATOR_DEMO_PSP must be one of: {', '.join(sorted(EMULATED_PSPS))}."
        )
    return EMULATED_PSPS[psp]


EMULATED_PSPS: Mapping[str, EmulatedPsp] = {
    "sandbox": EmulatedPsp("sandbox", {"ApiKey": API_KEY, "WebhookSecret": WEBHOOK_SECRET}),
    "stripe": EmulatedPsp(
        "stripe",
        {"ApiKey": API_KEY, "WebhookSecret": WEBHOOK_SECRET},
        {"INTEGRATOR_STRIPE_URL": "/stripe"},
    ),
    "gocardless": EmulatedPsp(
        "gocardless",
        {"AccessToken": API_KEY, "WebhookSecret": WEBHOOK_SECRET, "Environment": "sandbox"},
        {"INTEGRATOR_GOCARDLESS_URL": "/gocardless"},
    ),
    "billwerk_pay": EmulatedPsp(
        "billwerk_pay",
        {"PrivateKey": API_KEY, "WebhookSecret": WEBHOOK_SECRET},
        {
            "INTEGRATOR_BILLWERK_PAY_URL": "/billwerk_pay",
            "INTEGRATOR_BILLWERK_PAY_CHECKOUT_URL": "/billwerk_pay",
        },
    ),
}
