"""Base class of an adapter: settings, rate limiter and validation of typed payment data."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, SecretStr

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.bank_account import parse_bank_account
from integrator.psp.toolkit.rate_limit import RateLimiter, get_rate_limiter
from integrator.psp.toolkit.secrets import fingerprint
from integrator.psp.types import CallRate, Capabilities, NotificationEvent

S = TypeVar("S", bound=BaseModel)


class PspAdapter(Generic[S]):
    """Base class of an adapter with settings of type `S`.

    A subclass sets the three attributes and implements `connect` and `parse_notification`, and with
    the capability `event_list`, or if its events have `raw`, also `read_event`.
    """

    name: str
    capabilities: Capabilities
    settings_model: type[BaseModel]

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        """Validate a typed bank account: holder and IBAN.

        Raises `BearerRefused`. Without data it passes if a hosted page can ask for them.
        """
        method = self.capabilities.methods.get(role)
        if method and method.initial_bearer and (bearer or not method.redirect):
            parse_bank_account(bearer)

    def cast_settings(self, settings: BaseModel) -> S:
        """Return the settings as this adapter's type; raises `TypeError`."""
        if not isinstance(settings, self.settings_model):
            expected = self.settings_model.__name__
            raise TypeError(f"Expected {expected}, not {type(settings).__name__}")
        return settings  # type: ignore[return-value]

    def rate_limiter(self, key: SecretStr, rate: CallRate) -> RateLimiter:
        """Return the rate limiter of the account of `key`, shared by all its connections."""
        return get_rate_limiter(self.name, fingerprint(key), reads=rate.reads, writes=rate.writes)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Raise `NotificationRejected`; called for listed events, and for events with `raw`."""
        raise NotificationRejected("The adapter reads no single events")
