"""The folder for the data of `tailrace dev`."""

from pathlib import Path

from tailrace_worker.dev.data_folder import open_data_folder


def test_a_new_folder_is_for_its_owner_only_and_hidden_from_git(tmp_path: Path) -> None:
    folder = open_data_folder(str(tmp_path / "some" / "data"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    mode = tmp_path.stat().st_mode
    assert open_data_folder(str(tmp_path)) == tmp_path
    assert tmp_path.stat().st_mode == mode
    assert not list(tmp_path.iterdir())
