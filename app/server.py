"""The app as it is served: `app/main.py` behind headers that keep other sites and other origins out.

    Content-Security-Policy   nothing is fetched from, sent to or framed by another origin
    Referrer-Policy           a link that leads away does not tell what was looked at
    X-Content-Type-Options    a file is what its type says

`/_stcore/metrics` tells strangers how many visitors there are and what they open: it is closed. Which hosts may be
asked for is `server.allowedHosts` in `.streamlit/config.toml`.
"""

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import App

# Streamlit's own page holds inline styles, evaluates its schema validators, and starts workers and modules from blobs
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' blob: data:",
        "frame-src 'self' blob: data:",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "object-src 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CLOSED = ("/_stcore/metrics", "/_stcore/script-health-check")


class Guarded:
    """Adds `HEADERS` to every answer and refuses `CLOSED` addresses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"].rstrip("/").endswith(CLOSED):
            return await PlainTextResponse("closed", 404)(scope, receive, send)

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        return await self.app(scope, receive, headed)


app = App("main.py", middleware=[Middleware(Guarded)])
