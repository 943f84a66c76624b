"""`PageFiles`: the files of the page, as they are served."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final, Self

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""The types of the files that are served. Licences and the like are only in the package."""
_INDEX: Final = "index.html"
_PLACE: Final = b"FILES/"
"""What stands in the HTML for the address of the other files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """One file."""

    content: bytes
    """Its bytes."""
    media_type: str
    """Its type."""
    tag: str
    """Its entity tag, which changes with its bytes."""

    @classmethod
    def of(cls, content: bytes, suffix: str) -> Self:
        """Describe a file.

        Args:
            content: Its bytes.
            suffix: How its name ends, such as `.css`.
        """
        return cls(content=content, media_type=_TYPES[suffix], tag=f'"{_digest(content)}"')


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFiles:
    """The HTML, and all files that it needs."""

    index: PageFile
    """The HTML."""
    version: str
    """A digest of all other files. It is in their addresses, so that browsers may keep them for ever."""
    others: dict[str, PageFile]
    """The other files, by their names, such as `vendor/purify.es.mjs`."""

    @classmethod
    def read(cls) -> Self:
        """Read the files of the package, about 600 KB."""
        found = dict(_contents(files("tailrace.gateway") / "page", PurePosixPath()))
        index = found.pop(_INDEX)
        version = _digest(b"".join(name.encode() + content for name, content in sorted(found.items())))
        return cls(
            index=PageFile.of(index.replace(_PLACE, f"page/{version}/".encode()), ".html"),
            version=version,
            others={name: PageFile.of(content, PurePosixPath(name).suffix) for name, content in found.items()},
        )


def _contents(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        below = path / entry.name
        if entry.is_dir():
            yield from _contents(entry, below)
        elif below.suffix in _TYPES:
            yield str(below), entry.read_bytes()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
