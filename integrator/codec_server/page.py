"""Sign-in page of the codec server."""

from html import escape

from fastapi.responses import HTMLResponse

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Codec server</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto }}
  input, button {{ font: inherit; padding: .4rem .6rem }}
</style>
<h1>Codec server</h1>
<p role="status">{message}</p>
<p>It lets the Temporal Web UI in this browser show decrypted payloads. Sign in with the operators'
token, then switch on &ldquo;include cross-origin credentials&rdquo; in the UI's data encoder
settings.</p>
<form method="post" action="/">
  <label>Token <input name="token" type="password" autocomplete="off" required autofocus></label>
  <button>Sign in</button>
</form>
</html>
"""


def page(message: str | None, status: int = 200) -> HTMLResponse:
    """Render the form with a message; it may not be embedded or cached."""
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
        "form-action 'self'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(_PAGE.format(message=escape(message or "")), status, headers)
