"""Normalization of request paths to the form of the routes."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

API_PREFIX = "/api"


class PathNormalization:
    """ASGI middleware: `/payment/X` and `/API/Payment/X/` become `/api/Payment/X`.

    Fixed segments may be written in any letter case and the prefix may be missing. Ids stay
    unchanged, and so do paths that match no template.
    """

    def __init__(self, app: ASGIApp, templates: Iterable[str]) -> None:
        self._app = app
        # Fixed segments first, so that "Finalize" is not taken for an id.
        self._templates = sorted(
            (_split_template(path) for path in templates), key=_count_placeholders
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = self.normalize(scope["path"])
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)

    def normalize(self, path: str) -> str:
        """Return the path of the matching route, or `path` itself if none matches."""
        segments = path.removesuffix("/").removeprefix("/").split("/")
        if segments[0].lower() == API_PREFIX[1:]:
            del segments[0]
        for template in self._templates:
            if len(template) == len(segments) and all(map(_segment_matches, template, segments)):
                return "/".join([API_PREFIX, *map(_normalize_segment, template, segments)])
        return path


def _split_template(template: str) -> tuple[str, ...]:
    return tuple(template.removeprefix(API_PREFIX).strip("/").split("/"))


def _count_placeholders(template: tuple[str, ...]) -> int:
    return sum(map(_is_placeholder, template))


def _is_placeholder(segment: str) -> bool:
    return segment.startswith("{")


def _segment_matches(expected: str, segment: str) -> bool:
    return bool(segment) if _is_placeholder(expected) else expected.lower() == segment.lower()


def _normalize_segment(expected: str, segment: str) -> str:
    return segment if _is_placeholder(expected) else expected
