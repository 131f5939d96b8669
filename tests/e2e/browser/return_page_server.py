"""Server of the merchant's return pages."""

from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.support.http_server import HttpServer

PAGES = {
    "/success": "Thank you for your order",
    "/error": "Your payment did not work",
    "/abort": "You left the checkout",
}


class ReturnPageServer(HttpServer):
    """Serves the return pages and records the visits in order."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        super().__init__()

    @property
    def return_urls(self) -> dict[str, str]:
        """Return the return URLs for `paymentMeansReference`."""
        return {
            "successReturnUrl": f"{self.base_url}/success?order=a%20b",
            "errorReturnUrl": f"{self.base_url}/error",
            "abortReturnUrl": f"{self.base_url}/abort",
        }

    def visited_paths(self, agreement_id: str) -> list[str]:
        """Return the paths visited for an agreement; see `return_urls_for`."""
        queries = [urlsplit(visit) for visit in self.visits]
        return [u.path for u in queries if parse_qs(u.query).get("agreement") == [agreement_id]]

    def return_urls_for(self, agreement_id: str) -> dict[str, str]:
        """Return the return URLs with the agreement as a query parameter."""
        return {
            name: f"{url}{'&' if '?' in url else '?'}agreement={agreement_id}"
            for name, url in self.return_urls.items()
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = PAGES.get(urlsplit(self.path).path)
                if text is None:
                    self.send_error(404)
                    return
                server.visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                page = f"<!doctype html><html lang=en><title>Shop</title><h1>{text}</h1></html>"
                self.wfile.write(page.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing."""

        return Pages
