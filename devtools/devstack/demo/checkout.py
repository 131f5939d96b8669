"""The customer at the PSP's checkout page: reads the form and posts it, as a browser does."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

from devtools.devstack.demo.timeline import Timeline
from devtools.devstack.errors import DevStackError

CARD = {
    "card_number": "4242 4242 4242 4242",
    "holder": "Mia Kern",
    "expiry": "12/2034",
    "cvc": "123",
}
_NAME = "Customer"


@dataclass
class Form:
    """Where a page's form goes and which fields it has."""

    action: str | None = None
    fields: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form = Form()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and self.form.action is None:
            self.form.action = given.get("action") or ""
        elif tag == "input" and (name := given.get("name")):
            self.form.fields[name] = given.get("value") or ""


def read_form(page: str) -> Form:
    """The first form of a page."""
    reader = _Reader()
    reader.feed(page)
    return reader.form


async def pay(http: httpx.AsyncClient, url: str, timeline: Timeline) -> str:
    """Fill in the form at `url` and press the button; the address the customer is sent to."""
    page = await http.get(url)
    timeline.exchange(_NAME, "PSP", f"GET {_path(url)}", f"{page.status_code} form", good=True)
    form = read_form(page.text)
    if form.action is None:
        raise DevStackError(f"There is no form on the checkout page (HTTP {page.status_code}).")
    filled = form.fields | {name: CARD[name] for name in form.fields.keys() & CARD.keys()}
    target = urljoin(url, form.action)
    answer = await http.post(target, data=filled | {"action": "pay"}, follow_redirects=False)
    back = answer.headers.get("Location", "")
    result = f"{answer.status_code} back to {back}"
    timeline.exchange(_NAME, "PSP", f"POST {_path(target)}", result, good=answer.is_redirect)
    return str(urljoin(target, back))


def query_of(url: str) -> dict[str, str]:
    """The query parameters of an address."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _path(url: str) -> str:
    path = urlsplit(url).path
    return path if len(path) < 32 else f"{path[:31]}…"
