"""The codec server, where one is configured."""

import httpx

from integrator.operations.checks.result import CheckResult, ok, warning
from integrator.settings import PREFIX, Settings

_ANSWER_S = 3
_MADE_LOCALLY = "codec-token"


async def answering(settings: Settings) -> CheckResult | None:
    """None where no token is set and no local run has made one: then operators have none."""
    if settings.codec_token is None and not (settings.data_dir / _MADE_LOCALLY).exists():
        return None
    url = f"http://{settings.bind}:{settings.codec_port}/healthz"
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S) as http:
            status = (await http.get(url)).status_code
    except httpx.HTTPError as error:
        text = f"{url} does not answer ({type(error).__name__})"
        advice = f"Start it: `integrator codec-server`; or unset {PREFIX}CODEC_TOKEN here."
        return warning("codec server", text, advice)
    return ok("codec server", f"{url} answers {status}")
