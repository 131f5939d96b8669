"""The merchant's shop: the pages a customer comes back to."""

from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.support.serving import Serving

PAGES = {
    "/success": "Thank you for your order",
    "/error": "Your payment did not work",
    "/abort": "You left the checkout",
}


class Shop(Serving):
    """Serves the return pages and remembers who came back, in order."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        super().__init__()

    @property
    def return_urls(self) -> dict[str, str]:
        """The members of `paymentMeansReference` that lead back here."""
        return {
            "successReturnUrl": f"{self.base}/success?order=a%20b",
            "errorReturnUrl": f"{self.base}/error",
            "abortReturnUrl": f"{self.base}/abort",
        }

    def arrivals(self, agreement_id: str) -> list[str]:
        """The pages visited for an agreement; see `for_agreement`."""
        queries = [urlsplit(visit) for visit in self.visits]
        return [u.path for u in queries if parse_qs(u.query).get("agreement") == [agreement_id]]

    def for_agreement(self, agreement_id: str) -> dict[str, str]:
        """The return URLs, telling one customer from another."""
        return {
            name: f"{url}{'&' if '?' in url else '?'}agreement={agreement_id}"
            for name, url in self.return_urls.items()
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = PAGES.get(urlsplit(self.path).path)
                if text is None:
                    self.send_error(404)
                    return
                outer.visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                page = f"<!doctype html><html lang=en><title>Shop</title><h1>{text}</h1></html>"
                self.wfile.write(page.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

        return Pages
