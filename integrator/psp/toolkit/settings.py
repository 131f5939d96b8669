"""Bases of what is entered: by a merchant in the settings form, by a deployment in variables."""

from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings, SettingsConfigDict


class MerchantSettings(BaseModel):
    """One merchant's account at a PSP; a field's alias is its key in the settings form."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DeploymentConfig(BaseSettings):
    """Where a PSP is found; a field's validation alias is its environment variable's name."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    @classmethod
    @cache
    def of_environment(cls) -> Self:
        """As the environment says, which is read once: adapters connect for every call."""
        return cls()
