"""A `ClientTransport` straight into an app of ours, with nothing between."""

from __future__ import annotations

from plugmux.connect import App
from plugmux.exchange import Request, RequestHead, Response, StreamingResponse


class AppTransport:
    """Carries unary calls to an app by its fast path."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def fetch(self, request: Request, limit: int) -> Response:
        call = self._app.fast_path(RequestHead(request.method, request.path, b"", list(request.headers)))
        assert call is not None
        assert isinstance(request.body, bytes)
        return await call.complete(request.body)

    async def send(self, request: Request) -> StreamingResponse:
        raise AssertionError("only unary calls are carried")
