"""GET /health: whether the model is loaded, how many images wait, and what memory is used, for whoever
watches a server. Nothing of any visitor."""

import psutil
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import fairdemo
from fairdemo.studio.live import LIVES
from fairdemo.ui.offered import default, studio


def health(_: Request) -> JSONResponse:
    """The state of this program."""
    lives = list(LIVES.values())
    told = {
        "version": fairdemo.__version__,
        "profile": default(),
        "loaded": studio(default()).artist.loaded,
        "waiting_images": sum(live.batches.length for live in lives),
        "memory_mb": psutil.Process().memory_info().rss // 2**20,
    }
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


ROUTES = [Route("/health", health)]
