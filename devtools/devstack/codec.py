"""Operators' token for the codec server of a local run."""

import secrets

from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import read_json, write_private
from integrator.settings import Settings


def codec_token(settings: Settings, layout: Layout) -> str:
    """Return the configured token, or one generated at first use and stored in the data folder."""
    configured = settings.resolved_codec_token
    if configured is not None:
        return configured
    stored = read_json(layout.codec_token_file)
    if stored is not None:
        try:
            return str(stored["token"])
        except (KeyError, TypeError):
            raise DevStackError(f"{layout.codec_token_file} is not readable; delete it.") from None
    token = f"ict_{secrets.token_urlsafe(24)}"
    write_private(layout.codec_token_file, {"token": token})
    return token
