"""Brings the paths a caller may use to the one form the routes have."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/api"


class CanonicalPaths:
    """ASGI middleware: `/payment/X` and `/API/Payment/X/` become `/api/Payment/X`.

    The fixed words of a path may be written in any letter case and the prefix left out. Ids stay
    as they are, and so does every path that is not one of the templates'.
    """

    def __init__(self, app: ASGIApp, templates: Iterable[str]) -> None:
        self._app = app
        # Fixed words first: "Finalize" is no id.
        self._templates = sorted((_words(path) for path in templates), key=_placeholders)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = self.canonical(scope["path"])
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)

    def canonical(self, path: str) -> str:
        """The path of the route meant, or `path` itself if there is none."""
        words = path.removesuffix("/").removeprefix("/").split("/")
        if words[0].lower() == PREFIX[1:]:
            del words[0]
        for template in self._templates:
            if len(template) == len(words) and all(map(_fits, template, words)):
                return "/".join([PREFIX, *map(_spelled, template, words)])
        return path


def _words(template: str) -> tuple[str, ...]:
    return tuple(template.removeprefix(PREFIX).strip("/").split("/"))


def _placeholders(template: tuple[str, ...]) -> int:
    return sum(map(_is_placeholder, template))


def _is_placeholder(word: str) -> bool:
    return word.startswith("{")


def _fits(expected: str, word: str) -> bool:
    return bool(word) if _is_placeholder(expected) else expected.lower() == word.lower()


def _spelled(expected: str, word: str) -> str:
    return word if _is_placeholder(expected) else expected
