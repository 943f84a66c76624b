"""The routes of the page: its HTML at `/`, and its files under an address that changes with them."""

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tailrace.gateway.page_files import PageFile, PageFiles

router: APIRouter = APIRouter(include_in_schema=False)

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_FIRST: Final = "no-cache"
# In the page, HTML becomes nodes only in DOMPurify.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_FILES: Final = PageFiles.read()


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Serve the page. It asks for an API key itself, so it needs none."""
    return _served(request, _FILES.index, _ASK_FIRST)


@router.api_route("/page/{version}/{name:path}", methods=["GET", "HEAD"])
async def page_file(request: Request, version: str, name: str) -> Response:
    """Serve a file of the page."""
    file = _FILES.others.get(name)
    if file is None:
        raise HTTPException(404, "The page has no such file.")
    # While gateways of two versions run beside each other, one is asked for the files of the other's page.
    return _served(request, file, _FOR_EVER if version == _FILES.version else _ASK_FIRST)


def _served(request: Request, file: PageFile, caching: str) -> Response:
    headers = {**_HEADERS, "Cache-Control": caching, "ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
