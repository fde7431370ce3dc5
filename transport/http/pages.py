"""The pages: plain files, served as they are."""

from pathlib import Path

from aiohttp import web

WEB_FOLDER = Path(__file__).resolve().parent.parent / "web"


async def _index(request: web.Request) -> web.FileResponse:
    return web.FileResponse(WEB_FOLDER / "index.html", headers={"Cache-Control": "no-cache"})


async def _no_cache(request: web.Request, response: web.StreamResponse) -> None:
    """Modules are revalidated (ETag) on each load, so that an upgrade takes effect at once."""
    if request.path.startswith("/web/"):
        response.headers.setdefault("Cache-Control", "no-cache")


def add_pages(app: web.Application) -> None:
    """Serve the page at ``/`` and its files at ``/web/``."""
    app.router.add_get("/", _index)
    app.router.add_static("/web/", WEB_FOLDER)
    app.on_response_prepare.append(_no_cache)
