"""Base classes of the settings form of a merchant and of the configuration of a deployment."""

from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings, SettingsConfigDict


class MerchantSettings(BaseModel):
    """Settings of one merchant's account; a field's alias is its key in the settings form."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DeploymentConfig(BaseSettings):
    """Addresses of a PSP; a field's validation alias is its environment variable."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    @classmethod
    @cache
    def from_environment(cls) -> Self:
        """Return the configuration in the environment.

        It is read only once, since adapters connect for every call.
        """
        return cls()
