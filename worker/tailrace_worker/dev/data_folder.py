"""The folder in which `tailrace dev` keeps its data."""

from pathlib import Path
from typing import Final

from tailrace.errors import InvalidSettings

DEFAULT_DATA_FOLDER: Final = ".tailrace"


def open_data_folder(name: str) -> Path:
    """Make the folder if there is none, for its owner only, and hidden from git: it holds prompts and answers.

    Args:
        name: The folder.

    Returns:
        The folder.

    Raises:
        InvalidSettings: There is no such folder, and it cannot be made.
    """
    folder = Path(name)
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise InvalidSettings(f"--data: {name!r} cannot be used as a folder: {error.strerror}.") from None
    return folder
