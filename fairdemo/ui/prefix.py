"""The app under a path of a proxy's, as GRADIO_ROOT_PATH names it."""

import os
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN = ("/class", "/picture", "/gradio_api")  # no prefix can be told from these


def read_prefix() -> str:
    """The path that GRADIO_ROOT_PATH names, as "/demo", or "" for none. SystemExit if it can't be used."""
    said = os.environ.get("GRADIO_ROOT_PATH", "")
    path = urlsplit(said).path.rstrip("/")
    if path in OWN or (path and not path.startswith("/")):
        raise SystemExit(
            f"fairdemo: GRADIO_ROOT_PATH is {said!r}; expected a path as '/demo', but not {', '.join(OWN)}"
        )
    return path


class Prefix:
    """Gives requests the prefix that a proxy took away, since routes in routes are found by it, and answers
    redirects of routes without it or their last slash by a relative address: host, scheme and prefix are then
    the visitor's, whatever the proxy passes on."""

    def __init__(self, app: ASGIApp):
        self.app, self.prefix = app, read_prefix()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if self.prefix:
            if not f"{path}/".startswith(f"{self.prefix}/"):
                path = self.prefix + path
            scope = {**scope, "path": path, "raw_path": quote(path).encode(), "root_path": self.prefix}

        async def redirected(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 307:
                headers = MutableHeaders(scope=message)
                to = urlsplit(headers.get("location", ""))
                query = f"?{to.query}" if to.query else ""
                if to.path == f"{path}/":
                    headers["location"] = f"{path.rpartition('/')[2]}/{query}"
                elif f"{to.path}/" == path:
                    headers["location"] = f"../{to.path.rpartition('/')[2]}{query}"
            await send(message)

        await self.app(scope, receive, redirected)
