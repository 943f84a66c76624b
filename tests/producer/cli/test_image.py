"""The images of a prompt."""

import base64
from pathlib import Path

import pytest

from tailrace import InvalidRequest
from tailrace.cli.image import image_part


@pytest.mark.parametrize(
    ("mark", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
    ],
)
def test_the_type_of_an_image_is_known_by_its_bytes_whatever_its_name(
    mark: bytes, media_type: str, tmp_path: Path
) -> None:
    path = tmp_path / "image.txt"
    path.write_bytes(mark + b"rest")
    part = image_part(str(path))
    assert part.get("media_type") == media_type
    assert base64.b64decode(part.get("data", "")) == mark + b"rest"


@pytest.mark.parametrize("content", [b"", b"RIFF\x00\x00\x00\x00WAVE", b"<svg/>"])
def test_a_file_that_is_not_an_image_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"image\.png' is not a PNG, JPEG, GIF or WebP image"):
        image_part(str(path))


def test_an_endless_file_is_refused_too() -> None:
    with pytest.raises(InvalidRequest, match="is not a PNG"):
        image_part("/dev/zero")


def test_a_url_is_left_to_the_provider() -> None:
    assert image_part("HTTPS://example.org/mill.png") == {"type": "image", "url": "HTTPS://example.org/mill.png"}
