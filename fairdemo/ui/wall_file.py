"""A wall as a file, written when it is asked for: by its visit's name, which can't be guessed, for as long as
the wall stands on somebody's screen."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fairdemo.report import archive
from fairdemo.ui.language import language_of, say
from fairdemo.ui.limits import LIMITS, asker, until
from fairdemo.ui.log import failed
from fairdemo.ui.operator import operator
from fairdemo.ui.visits import STANDING, Visit


def address(visit: Visit) -> str:
    """Where the page finds a wall's file, relative to the page itself."""
    return f"wall/{visit.token}.zip"


class Passing(FileResponse):
    """A whole file that goes, with its folder, once it was sent or couldn't be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        try:
            await super().__call__({**scope, "headers": headers}, receive, send)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


@cache
def one() -> CapacityLimiter:
    """Files are written one after the other, and whoever waits for one holds no thread."""
    return CapacityLimiter(1)


async def file(request: Request) -> Response:
    """A wall's file. Else why it can't be had: 404 if the wall stands nowhere any more or grows still, 429 if
    the visitor took as many images as files as may be drawn, 503 if it can't be written."""
    language, visit = language_of(request), STANDING.get(request.path_params["token"])
    if visit is None or visit.grows or visit.plan is None or not visit.plan.comparison.pairs:
        return PlainTextResponse(say(language, "file_gone"), 404)
    if request.method == "HEAD":
        return Response(media_type="application/zip")
    wall = replace(visit.plan.comparison, pairs=list(visit.plan.comparison.pairs))
    images, most = 2 * len(wall.pairs), operator().limit_images
    if wait := LIMITS.take("files", asker(request), most, images):
        return PlainTextResponse(say(language, "file_later", wait=until(wait)), 429)
    try:
        path = await to_thread.run_sync(archive.zipped, wall, limiter=one())
    except Exception as error:  # whatever it is, the wall stands
        failed(error)
        why = error.strerror if isinstance(error, OSError) else None
        return PlainTextResponse(say(language, "no_file", error=why or type(error).__name__), 503)
    return Passing(path, media_type="application/zip", filename=path.name)


ROUTES = [Route("/wall/{token:str}.zip", file)]
