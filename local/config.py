"""What only a local run can be told."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalConfig(BaseSettings):
    """Values come from the environment; the aliases are the variables' names."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    temporal_ui: str | None = Field(
        None,
        validation_alias="INTEGRATOR_TEMPORAL_UI",
        description="Web UI of the Temporal server named by INTEGRATOR_TEMPORAL_ADDRESS",
    )
