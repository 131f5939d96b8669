"""What a merchant enters to use the sandbox PSP."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _printable(secret: SecretStr) -> SecretStr:
    # Anything else cannot travel in a header, and the error of the HTTP library would show it.
    if not all("!" <= character <= "~" for character in secret.get_secret_value()):
        raise ValueError("printable ASCII without blanks")
    return secret


Secret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_printable)]


class SandboxSettings(BaseModel):
    """One merchant's account at the sandbox PSP; the aliases are the keys of the settings form."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    api_key: Secret = Field(
        alias="ApiKey",
        title="API key",
        json_schema_extra={"placeHolder": "sk_sandbox_..."},
    )
    webhook_secret: Secret = Field(alias="WebhookSecret", title="Webhook secret")
