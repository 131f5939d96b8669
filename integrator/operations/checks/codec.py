"""Check of the codec server, if one is configured."""

import httpx

from integrator.operations.checks.result import CheckResult, ok, warning
from integrator.settings import PREFIX, Settings

_TIMEOUT_S = 3
_GENERATED_FILE = "codec-token"


async def check_codec_server(settings: Settings) -> CheckResult | None:
    """Check that the codec server responds; None without a configured or generated token."""
    if settings.codec_token is None and not (settings.data_dir / _GENERATED_FILE).exists():
        return None
    url = f"http://{settings.bind}:{settings.codec_port}/healthz"
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as http:
            status = (await http.get(url)).status_code
    except httpx.HTTPError as error:
        text = f"{url} does not answer ({type(error).__name__})"
        advice = f"Start it: `integrator codec-server`; or unset {PREFIX}CODEC_TOKEN here."
        return warning("codec server", text, advice)
    return ok("codec server", f"{url} answers {status}")
