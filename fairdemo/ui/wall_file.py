"""A wall as a file, written when it is asked for: by an address that can't be guessed, for as long as its
visitor keeps the wall."""

import secrets
import shutil
import threading
from weakref import WeakValueDictionary

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from fairdemo.report import archive
from fairdemo.studio.studio import Plan
from fairdemo.ui.log import failed

KEPT: WeakValueDictionary[str, Plan] = WeakValueDictionary()
ONE = threading.Lock()  # files are written one after the other, so many asked for take no more of the server


def address(plan: Plan) -> str:
    """Where the page finds a wall's file, relative to the page itself."""
    key = secrets.token_urlsafe(16)
    KEPT[key] = plan
    return f"wall/{key}.zip"


def file(request: Request) -> Response:
    """A wall's file; 404 if nobody keeps the wall any more, 503 with why if it can't be written."""
    plan = KEPT.get(request.path_params["key"])
    if plan is None:
        return PlainTextResponse("This wall isn't kept any more; draw it again, by its link.", 404)
    try:
        with ONE:
            path = archive.zipped(plan.comparison)
    except OSError as error:
        failed(error)
        return PlainTextResponse(f"The file can't be written: {error.strerror or error}", 503)
    done = BackgroundTask(shutil.rmtree, path.parent, ignore_errors=True)
    return FileResponse(path, media_type="application/zip", filename=path.name, background=done)


ROUTES = [Route("/wall/{key:str}.zip", file)]
