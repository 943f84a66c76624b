"""Limits redirects to the same server. The SDKs follow redirects, and send the prompt and secret headers along."""

import httpx2


class RedirectedElsewhere(Exception):
    """A server redirects a call to another server."""


async def stay_there(response: httpx2.Response) -> None:
    """Check a response: a redirect may only lead to the same server, or from http to https on the same host.

    Args:
        response: The response, before the client follows it.

    Raises:
        RedirectedElsewhere: The redirect leads to another server, to which nothing was sent.
    """
    if not response.has_redirect_location:
        return
    called = response.request.url
    wanted = called.join(response.headers["location"])
    if wanted.host == called.host and (_door(wanted) == _door(called) or (_door(called), _door(wanted)) == _UPGRADE):
        return
    raise RedirectedElsewhere(
        f"it redirects calls to another server, {wanted.scheme}://{wanted.host}, and such redirects are not followed"
    )


_PORTS = {"http": 80, "https": 443}
_UPGRADE = ("http", 80), ("https", 443)


def _door(url: httpx2.URL) -> tuple[str, int | None]:
    return url.scheme, url.port or _PORTS.get(url.scheme)
