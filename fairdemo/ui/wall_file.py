"""A wall as a file, written when it is asked for: by its visit's name, which can't be guessed, for as long as
the wall stands on somebody's screen."""

import shutil
import threading

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from fairdemo.report import archive
from fairdemo.ui.log import failed
from fairdemo.ui.visits import STANDING, Visit

ONE = threading.Lock()  # files are written one after the other, so many asked for take no more of the server


def address(visit: Visit) -> str:
    """Where the page finds a wall's file, relative to the page itself."""
    return f"wall/{visit.token}.zip"


def file(request: Request) -> Response:
    """A wall's file; 404 if it stands nowhere any more, 503 with why if it can't be written."""
    visit = STANDING.get(request.path_params["token"])
    if visit is None or visit.plan is None:
        return PlainTextResponse("This wall isn't kept any more; draw it again, by its link.", 404)
    try:
        with ONE:
            path = archive.zipped(visit.plan.comparison)
    except OSError as error:
        failed(error)
        return PlainTextResponse(f"The file can't be written: {error.strerror or error}", 503)
    done = BackgroundTask(shutil.rmtree, path.parent, ignore_errors=True)
    return FileResponse(path, media_type="application/zip", filename=path.name, background=done)


ROUTES = [Route("/wall/{token:str}.zip", file)]
