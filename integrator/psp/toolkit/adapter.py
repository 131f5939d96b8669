"""The base of an adapter: settings, the budget of an account, payment data typed by a customer."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, SecretStr

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.bank_account import bank_account
from integrator.psp.toolkit.rate_limit import Budget, budget_of
from integrator.psp.toolkit.secrets import tell_apart
from integrator.psp.types import CallRate, Capabilities, NotificationEvent

S = TypeVar("S", bound=BaseModel)


class PspAdapter(Generic[S]):
    """Base of an adapter whose settings are an `S`.

    A subclass sets the three members and has `connect` and `parse_notification` of its own; with
    the capability `event_list` also `read_event`.
    """

    name: str
    capabilities: Capabilities
    settings_model: type[BaseModel]

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        """Refuse a typed account without holder and valid IBAN; a hosted page may ask instead."""
        method = self.capabilities.methods.get(role)
        if method and method.initial_bearer and (bearer or not method.redirect):
            bank_account(bearer)

    def own(self, settings: BaseModel) -> S:
        """The settings, if they are this adapter's; raises `TypeError`."""
        if not isinstance(settings, self.settings_model):
            needed = self.settings_model.__name__
            raise TypeError(f"{needed} needed, not {type(settings).__name__}")
        return settings  # type: ignore[return-value]

    def budget(self, key: SecretStr, rate: CallRate) -> Budget:
        """What the PSP allows the account that `key` opens, shared by all its connections."""
        return budget_of(self.name, tell_apart(key), reads=rate.reads, writes=rate.writes)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Never called without the capability `event_list`. Raises `NotificationRejected`."""
        raise NotificationRejected("The PSP has no list of events")
