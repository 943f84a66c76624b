"""`tailrace completion`, as the shells see it."""

import shutil
import subprocess

import pytest

from tailrace.cli import main

pytestmark = pytest.mark.process

Capture = pytest.CaptureFixture[str]


def script(shell: str, capsys: Capture) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def completed(line: str, capsys: Capture) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    program = (
        f"{script('bash', capsys)}\n"
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
        '_shtab_tailrace && printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, check=False, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_each_shell_accepts_its_script(shell: str, capsys: Capture) -> None:
    written = script(shell, capsys)
    assert "tailrace" in written
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} on this machine")
    done = subprocess.run([path, "-n"], input=written, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tailrace en", {"enqueue"}),
        ("tailrace tail --j", {"--json"}),
        ("tailrace completion z", {"zsh"}),
        ("tailrace enqueue --provider open", {"openai", "openai-responses"}),
    ],
)
def test_bash_completes_verbs_options_and_choices(line: str, offered: set[str], capsys: Capture) -> None:
    assert set(completed(line, capsys)) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
def test_bash_completes_the_names_of_files(
    capsys: Capture, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path_factory.mktemp("images")
    (directory / "mill.png").touch()
    monkeypatch.chdir(directory)
    assert completed("tailrace enqueue --image mi", capsys) == ["mill.png"]
