"""Mutants: what callers and PSPs say is narrowed, cut, or taken for the merchant's fault."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel
from stdnum import iban as iban_rules
from stdnum.exceptions import ValidationError

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import BearerRefused, NotificationRejected
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.wire import Event
from integrator.psp.types import Authorize, Charge, Declined, NotificationEvent, Outcome
from tests.conformance.mutants_base import Mutant, register_mutant
from tests.conformance.realistic_psp import RealisticClient, RealisticConnection, RealisticMutant

W = TypeVar("W", bound=BaseModel)


class _EmptyTextClient(SandboxClient):
    async def post(self, model: type[W], *path: str, body: Mapping[str, Any], key: str) -> W:
        if "description" in body:
            body = {**body, "description": body["description"] or ""}
        return await super().post(model, *path, body=body, key=key)


@register_mutant("requests.blank_values_are_not_sent[charge-CreditCard]")
class EmptyTextIsSent(Mutant):
    """A text that is missing is sent as an empty one, which PSPs refuse."""

    client = _EmptyTextClient


class _NamePartsClient(SandboxClient):
    async def post(self, model: type[W], *path: str, body: Mapping[str, Any], key: str) -> W:
        customer = dict(body.get("customer") or {})
        given_name, _, family_name = customer.get("name", "").rpartition(" ")
        if given_name:
            customer |= {"given_name": given_name, "family_name": family_name}
            body = {**body, "customer": customer}
        return await super().post(model, *path, body=body, key=key)


@register_mutant("requests.a_payer_is_sent_whole[checkout-CreditCard]")
class CompanyNameIsSplit(Mutant):
    """The last word of a company's name becomes a family name: `KG`."""

    client = _NamePartsClient


class _TextDecidesConnection(RealisticConnection):
    async def charge_without_text(self, call: Charge, refused: Declined) -> Outcome:
        return refused


@register_mutant("requests.a_refused_text_is_left_out[charge-CreditCard-characters]")
class TextDecidesAboutMoney(RealisticMutant):
    """A payment is declined because the PSP refuses a character of its text."""

    connection = _TextDecidesConnection


class _FrozenDateConnection(RealisticConnection):
    def choose_date(self, call: Charge) -> Charge:
        return call


@register_mutant("requests.a_date_is_chosen_when_it_is_sent[Debit-request-1-lost]")
class DateIsFrozen(RealisticMutant):
    """A debit's date is chosen once: repeated after midnight it is too near, or past."""

    connection = _FrozenDateConnection


class _DeadEndConnection(RealisticConnection):
    async def charge_successor(self, call: Charge, new_id: str) -> Outcome:
        return Declined(code=Code.BearerInvalid)


@register_mutant("requests.a_continued_payment_method_is_followed[CreditCard]")
class SuccessorIsNotFollowed(RealisticMutant):
    """A mandate that the PSP continues under another id ends the agreement."""

    connection = _DeadEndConnection


class _CertainConnection(RealisticConnection):
    def refuse_currency(self, call: Authorize | Charge) -> Declined | None:
        return None


@register_mutant("requests.an_uncertain_currency_is_refused[charge-CreditCard-ISK]")
class UncertainCurrencyIsSent(RealisticMutant):
    """499 ISK are sent as 49900 to a PSP whose sources contradict each other."""

    connection = _CertainConnection


@register_mutant("requests.unusual_payment_data_is_accepted[Debit-BE]")
class NationalCheckDigitsDecide(Mutant):
    """An IBAN is refused for its national check digits, which banks do not always have."""

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        super().check_initial_bearer(role, bearer)
        try:
            iban_rules.validate((bearer or {}).get("IBAN", ""))
        except ValidationError:
            raise BearerRefused("The IBAN is not valid.", code=Code.InvalidIBAN) from None


class _OurFaultClient(RealisticClient):
    codeless = Code.InvalidData


@register_mutant("responses.a_refusal_without_a_code_is_understood[charge-CreditCard-card_error]")
class CodelessIsOurFault(RealisticMutant):
    """A refusal of the card without a code counts as a mistake in the request."""

    client = _OurFaultClient


@register_mutant("notifications.an_odd_event_is_accepted[half-a-surrogate-pair]")
class OddCharactersAreRejected(Mutant):
    """A signed event is rejected for a character in a text that is not read, and sent for days."""

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        events = super().parse_notification(settings, headers, body, now)
        try:
            Event.model_validate_json(body)
        except ValueError:
            raise NotificationRejected("The notification is not JSON") from None
        return events
