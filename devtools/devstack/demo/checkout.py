"""Submit the form of the PSP's checkout page, as the customer's browser does."""

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
_CUSTOMER = "Customer"


@dataclass
class Form:
    """HTML form: its action and its fields."""

    action: str | None = None
    fields: dict[str, str] = field(default_factory=dict)


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form = Form()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form" and self.form.action is None:
            self.form.action = attributes.get("action") or ""
        elif tag == "input" and (name := attributes.get("name")):
            self.form.fields[name] = attributes.get("value") or ""


def parse_form(page: str) -> Form:
    """Return the first form of a page."""
    parser = _FormParser()
    parser.feed(page)
    return parser.form


async def submit_payment(http: httpx.AsyncClient, url: str, timeline: Timeline) -> str:
    """Submit the form at `url` with card data; return the URL the customer is redirected to."""
    page = await http.get(url)
    timeline.add_exchange(
        _CUSTOMER, "PSP", f"GET {_shorten_path(url)}", f"{page.status_code} form", good=True
    )
    form = parse_form(page.text)
    if form.action is None:
        raise DevStackError(f"The checkout page has no form (HTTP {page.status_code}).")
    values = form.fields | {name: CARD[name] for name in form.fields.keys() & CARD.keys()}
    target = urljoin(url, form.action)
    response = await http.post(target, data=values | {"action": "pay"}, follow_redirects=False)
    location = response.headers.get("Location", "")
    result = f"{response.status_code} redirect to {location}"
    timeline.add_exchange(
        _CUSTOMER, "PSP", f"POST {_shorten_path(target)}", result, good=response.is_redirect
    )
    return str(urljoin(target, location))


def query_parameters(url: str) -> dict[str, str]:
    """Return the query parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _shorten_path(url: str) -> str:
    path = urlsplit(url).path
    return path if len(path) < 32 else f"{path[:31]}…"
