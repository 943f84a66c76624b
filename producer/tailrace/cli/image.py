"""The images of a prompt."""

import base64
from pathlib import Path
from typing import Final, Literal

from tailrace import Image, InvalidRequest

_SIGNATURE_BYTES: Final = 12
"""The longest file signature below."""


def image_part(path_or_url: str) -> Image:
    """Make the part of a message for an image.

    Args:
        path_or_url: A URL, which the provider fetches, or the path of a file, which is read.

    Returns:
        The part, with the URL, or with the bytes of the file in base64.

    Raises:
        InvalidRequest: The file cannot be read, or is not an image that providers accept.
    """
    if path_or_url.lower().startswith(("http://", "https://")):
        return {"type": "image", "url": path_or_url}
    try:
        with Path(path_or_url).open("rb") as file:
            signature = file.read(_SIGNATURE_BYTES)
            # Checked before the rest is read, because the file may be endless.
            media_type = _media_type(signature)
            if media_type is None:
                raise InvalidRequest(
                    f"--image: '{path_or_url}' is not a PNG, JPEG, GIF or WebP image: convert it to one of these."
                )
            data = signature + file.read()
    except OSError as error:
        raise InvalidRequest(f"--image: '{path_or_url}' cannot be read: {error.strerror}.") from None
    return {"type": "image", "data": base64.b64encode(data).decode(), "media_type": media_type}


def _media_type(signature: bytes) -> Literal["image/png", "image/jpeg", "image/gif", "image/webp"] | None:
    """Recognize the format by the first bytes, because the name of a file may be wrong."""
    if signature.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if signature.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if signature.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if signature.startswith(b"RIFF") and signature[8:] == b"WEBP":
        return "image/webp"
    return None
