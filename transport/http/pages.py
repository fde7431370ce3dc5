"""The pages: plain files, served as they are."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

WEB_FOLDER = Path(__file__).resolve().parent.parent / "web"


def _page(name: str) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def page(request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB_FOLDER / name, headers={"Cache-Control": "no-cache"})

    return page


async def _no_cache(request: web.Request, response: web.StreamResponse) -> None:
    """Modules are revalidated (ETag) on each load, so that an upgrade takes effect at once."""
    if request.path.startswith("/web/"):
        response.headers.setdefault("Cache-Control", "no-cache")


def add_pages(app: web.Application) -> None:
    """Serve the pages at ``/`` and ``/studio``, and their files at ``/web/``."""
    app.router.add_get("/", _page("index.html"))
    app.router.add_get("/studio", _page("studio.html"))
    app.router.add_static("/web/", WEB_FOLDER)
    app.on_response_prepare.append(_no_cache)
