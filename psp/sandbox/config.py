"""Where the sandbox PSP is found. A deployment's choice, not a merchant's."""

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxConfig(BaseSettings):
    """Values come from the environment; the aliases are the variables' names."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_SANDBOX_URL")
    port: int = Field(8090, validation_alias="INTEGRATOR_SANDBOX_PORT")

    @property
    def base_url(self) -> str:
        """Without a trailing slash; on loopback unless a URL is given."""
        return str(self.url or f"http://127.0.0.1:{self.port}").rstrip("/")
