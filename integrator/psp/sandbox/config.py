"""Address of the sandbox PSP, chosen by the deployment and not by a merchant."""

from pydantic import Field, HttpUrl

from integrator.psp.toolkit.settings import DeploymentConfig


class SandboxConfig(DeploymentConfig):
    """Address of the sandbox PSP; on loopback unless a URL is given."""

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_SANDBOX_URL")
    port: int = Field(8090, validation_alias="INTEGRATOR_SANDBOX_PORT")

    @property
    def base_url(self) -> str:
        """Return the URL without a trailing slash."""
        return str(self.url or f"http://127.0.0.1:{self.port}").rstrip("/")
