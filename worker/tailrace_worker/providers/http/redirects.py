"""Where a call may be redirected to: the SDKs follow redirects, and send the prompt and secret headers along."""

import httpx2


class RedirectedElsewhere(Exception):
    """A server sends a call on to another one."""


async def stay_there(response: httpx2.Response) -> None:
    """A hook for responses: a redirect is followed on the same server only, or from http to https on its host.

    Raises:
        RedirectedElsewhere: The redirect leads anywhere else. Nothing was sent there.
    """
    if not response.has_redirect_location:
        return
    called = response.request.url
    wanted = called.join(response.headers["location"])
    if wanted.host == called.host and (_door(wanted) == _door(called) or (_door(called), _door(wanted)) == _UPGRADE):
        return
    raise RedirectedElsewhere(f"it redirects calls to another server, {wanted.scheme}://{wanted.host}, which gets none")


_PORTS = {"http": 80, "https": 443}
_UPGRADE = ("http", 80), ("https", 443)


def _door(url: httpx2.URL) -> tuple[str, int | None]:
    return url.scheme, url.port or _PORTS.get(url.scheme)
