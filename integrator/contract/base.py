"""Base classes of the contract's models."""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from integrator.contract.fields import AmountFromZero, Currency, is_from_peer
from integrator.contract.money import InexactAmountError, fits_currency, quantize
from integrator.contract.validation_errors import invalid_value


class WireModel(BaseModel):
    """A frozen object of the contract.

    Python code uses snake_case attributes; JSON members are camelCase and read in any case, the
    last one winning. Unknown members and nulls are dropped. Errors never show the input, and
    payment data is left out of `repr`.
    """

    # Shown in the OpenAPI document.
    schema_examples: ClassVar[tuple[dict[str, Any], ...]] = ()

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        json_schema_extra=lambda schema, model: _complete_schema(schema, model),
    )

    @model_validator(mode="before")
    @classmethod
    def _read_members(cls, data: object, info: ValidationInfo) -> object:
        if not isinstance(data, Mapping):
            return data
        aliases, python_names = _member_names(cls)
        if is_from_peer(info):
            python_names = {}
        members: dict[str, Any] = {}
        for key, value in data.items():
            alias = python_names.get(key) or aliases.get(key.lower())
            if alias is not None:
                members[alias] = value
        return {alias: value for alias, value in members.items() if value is not None}


class WireResponse(WireModel):
    """An object that Billwerk+ reads: members with a default are always written, others if set."""


class MoneyRequest(WireModel):
    """A request with `requested_amount` and `currency`, whose decimals have to fit together."""

    requested_amount: AmountFromZero = Field(description="Amount")
    currency: Currency = Field(description="ISO 4217 code")

    @model_validator(mode="after")
    def _amount_fits_currency(self, info: ValidationInfo) -> Self:
        if is_from_peer(info) and not fits_currency(self.requested_amount, self.currency):
            return self._with_currencys_decimals()
        return self

    def _with_currencys_decimals(self) -> Self:
        """Return the request with the decimals of its currency: 49.900 EUR is 49.90 EUR."""
        try:
            amount = quantize(self.requested_amount, self.currency)
        except InexactAmountError:
            raise invalid_value(
                "has more decimals than its currency", "InvalidAmount", "requestedAmount"
            ) from None
        return self.model_copy(update={"requested_amount": amount})


@cache
def _member_names(model: type[WireModel]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the JSON name of each member, by its lower-case JSON name and by its Python name."""
    fields = {name: field.alias or name for name, field in model.model_fields.items()}
    return {alias.lower(): alias for alias in fields.values()}, fields


def is_omittable(field: FieldInfo) -> bool:
    """Whether a member may be absent from a response: its default is None."""
    return not field.is_required() and field.default is None


def _complete_schema(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Complete the JSON schema of `model`: examples, and the required members of responses."""
    members = schema.get("properties", {}).values()
    for member in members:
        _clean_member(member)
    if issubclass(model, WireModel) and model.schema_examples:
        schema["examples"] = list(model.schema_examples)
    if not issubclass(model, WireResponse):
        return
    required = []
    for field in model.model_fields.values():
        if field.alias and not is_omittable(field):
            required.append(field.alias)
    if required:
        schema["required"] = required
    for member in members:
        _drop_null(member)


def _clean_member(member: dict[str, Any]) -> None:
    """Drop titles and null defaults; write Decimal defaults, which are text, as numbers."""
    member.pop("title", None)
    if "default" in member and member["default"] is None:
        del member["default"]
    if "default" in member and member.get("type") == "number":
        member["default"] = float(member["default"])


def _drop_null(member: dict[str, Any]) -> None:
    """Remove null from the types: responses leave absent members out."""
    types = [option for option in member.get("anyOf", []) if option != {"type": "null"}]
    if len(types) == 1:
        del member["anyOf"]
        member.update(types[0])
    member.pop("default", None)
