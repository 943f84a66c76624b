"""The images of a prompt."""

import base64
from pathlib import Path
from typing import Final, Literal

from tailrace import Image, InvalidRequest

_LONGEST_MARK: Final = 12


def image_part(path_or_url: str) -> Image:
    """A part of a message: a URL as it is, for the provider to fetch, and a file by its bytes.

    Raises:
        InvalidRequest: The file cannot be read, or is no image that providers take.
    """
    if path_or_url.lower().startswith(("http://", "https://")):
        return {"type": "image", "url": path_or_url}
    try:
        with Path(path_or_url).open("rb") as file:
            mark = file.read(_LONGEST_MARK)
            # Before the rest is read, of which there may be no end.
            media_type = _media_type(mark)
            if media_type is None:
                raise InvalidRequest(f"--image: '{path_or_url}' is no PNG, JPEG, GIF or WebP image.")
            data = mark + file.read()
    except OSError as error:
        raise InvalidRequest(f"--image: '{path_or_url}' cannot be read: {error.strerror}.") from None
    return {"type": "image", "data": base64.b64encode(data).decode(), "media_type": media_type}


def _media_type(mark: bytes) -> Literal["image/png", "image/jpeg", "image/gif", "image/webp"] | None:
    """By the first bytes: the name of a file may say anything."""
    if mark.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if mark.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if mark.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if mark.startswith(b"RIFF") and mark[8:] == b"WEBP":
        return "image/webp"
    return None
