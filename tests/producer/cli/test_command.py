"""The command as a whole: help, exit codes, and error messages. No Redis is needed."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import ModuleType

import pytest

from tailrace.cli import app, main
from tailrace.cli.tty.control_characters import is_dumb
from tailrace.errors import TailraceError

JOB = "hX3vJ0c2TqK9bWm5yRzA1g"
ENQUEUE = ("enqueue", "Hi", "--provider", "openai", "--model", "m")
LIGHT_VERBS = ("cancel", "enqueue", "regenerate", "status", "tail")
HEAVY = {"aiohttp", "anthropic", "arq", "openai", "rich", "shtab", "uvloop"}


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        sys.exit(main(arguments))
    return int(left.value.code or 0)


def extras() -> list[tuple[str, str]]:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    requirements = [
        (str(requirement).partition(">")[0].partition("[")[0], extra)
        for extra in ("worker", "cli", "demo")
        for requirement in project["optional-dependencies"][extra]
    ]
    return [(re.sub("^(google|python)-", "", name), extra) for name, extra in requirements if name != "tailrace"]


class Verb(ModuleType):
    """A verb that does nothing but raise."""

    SUMMARY = "raise"

    def __init__(self, error: BaseException) -> None:
        super().__init__("a_verb_of_the_tests")
        self.error = error

    def add_arguments(self, parser: object) -> None:
        """Add nothing."""

    def run(self, _: object) -> int:
        raise self.error


def install(monkeypatch: pytest.MonkeyPatch, verb: Verb) -> None:
    entry_point = EntryPoint(name="raise", value=verb.__name__, group="tailrace.commands")

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [entry_point] if group == entry_point.group else []

    monkeypatch.setitem(sys.modules, verb.__name__, verb)
    monkeypatch.setattr(app, "entry_points", entry_points)


@pytest.mark.process
def test_help_version_and_errors_load_no_sdk() -> None:
    program = (
        "import sys\nfrom tailrace.cli import main\n"
        "try: code = main()\n"
        "finally: print('loaded:', *{name.partition('.')[0] for name in sys.modules})\n"
        "sys.exit(code)"
    )

    def run(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False, text=True)
        out, _, loaded = done.stdout.partition("loaded:")
        assert set(loaded.split()) & HEAVY == set()
        return done.returncode, out, done.stderr

    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert all(f"    {verb}" in out for verb in LIGHT_VERBS)
    assert run("--version") == (0, f"tailrace {version('tailrace')}\n", "")
    code, out, err = run("tail", JOB, "--redis-url", "redis://localhost:1")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert run("tail", "short")[0] == 2
    assert run()[0] == 2


@pytest.mark.process
@pytest.mark.parametrize("module", ["importlib.metadata", "tailrace.errors", "pydantic"])
def test_ctrl_c_during_the_imports_prints_no_traceback(module: str) -> None:
    program = (
        "import sys\n"
        "class CtrlC:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == '{module}': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, CtrlC)\n"
        "from tailrace.cli import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program, "status", JOB], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_help_has_each_verb_and_its_summary_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert command("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    _, verbs = app.build_parser()
    for name, verb in verbs.items():
        assert any(re.match(rf"    {name} +{verb.SUMMARY[:40]}", line) for line in lines)


@pytest.mark.process
@pytest.mark.parametrize("package", ["tailrace", "tailrace.cli"])
def test_the_package_runs_as_the_command_does(package: str) -> None:
    done = subprocess.run([sys.executable, "-m", package, "--version"], capture_output=True, check=True, text=True)
    assert done.stdout == f"tailrace {version('tailrace')}\n"


@pytest.mark.parametrize("verb", LIGHT_VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(verb, "--help") == 0
    out = capsys.readouterr().out
    assert f"example: tailrace {verb} " in out
    assert "TAILRACE_REDIS_URL" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "VERB"),
        (("nope",), "'nope'"),
        (("tail",), "JOB"),
        (("tail", "short"), "'short' is not a job id"),
        (("cancel", "a:b" * 8), "is not a job id"),
        (("tail", JOB, "--after", "17"), "'17' is not a cursor"),
        (("tail", JOB, "short"), "'short' is not a job id"),
        (("tail", JOB, f"{JOB}2", "--after", "1-17"), "--after: a cursor belongs to one job"),
        (("tail", JOB, "--nope"), "tailrace tail: unrecognized arguments: --nope; see 'tailrace tail --help'"),
        (("tail", JOB, "--json", "--raw"), "--raw: not allowed with argument --json"),
        (("status", JOB, "--redis-url", "http://localhost"), "'http://localhost' is not the URL of a Redis"),
        (("status", JOB, "--redis-url", "redis://localhost:x"), "is not the URL of a Redis"),
        (("status", JOB, "--redis-url", ""), "is not the URL of a Redis"),
        (("enqueue", "Hi", "--provider", "No Body", "--model", "m"), "provider: "),
        (("enqueue", "Hi", "--provider", "openai"), "--model"),
        (("enqueue", "Hi", "--provider", "openai", "--model", ""), "model: "),
        (("enqueue", "Hi"), "--provider and --model: required, unless --request is given."),
        (("enqueue", "--request", "/does/not/exist"), "--request: '/does/not/exist' cannot be read"),
        (("enqueue", "--request", "/", "--model", "m", "--image", "x"), "--model, --image: not allowed with --request"),
        (("enqueue", "Hi", "--request", "/"), "--request: not allowed with argument PROMPT"),
        (("enqueue", "", "--provider", "openai", "--model", "m"), "prompt is empty"),
        ((*ENQUEUE, "--temperature", "9"), "temperature: "),
        ((*ENQUEUE, "--temperature", "nan"), "temperature: "),
        ((*ENQUEUE, "--temperature", "warm"), "--temperature: invalid float value: 'warm'"),
        ((*ENQUEUE, "--max-output-tokens", "0"), "max_output_tokens: "),
        ((*ENQUEUE, "--file", "prompt.txt"), "--file: not allowed with argument PROMPT"),
        ((*ENQUEUE, "--system", "\udcff"), "is not UTF-8"),
        (("enqueue", *ENQUEUE[2:], "--file", "/does/not/exist"), "--file: '/does/not/exist' cannot be read"),
        (("enqueue", *ENQUEUE[2:], "--file", "/"), "--file: '/' cannot be read"),
        (("enqueue", *ENQUEUE[2:], "--file", "/dev/zero"), "The prompt alone has more than 1,048,576 bytes"),
        ((*ENQUEUE, "--image", "/does/not/exist"), "--image: '/does/not/exist' cannot be read: No such file"),
        ((*ENQUEUE, "--image", "/"), "--image: '/' cannot be read"),
        ((*ENQUEUE, "--image", __file__), "is not a PNG, JPEG, GIF or WebP image"),
        ((*ENQUEUE, "--image", "https://example.org/a b.png"), "messages.0.content.0.url"),
        (("completion", "tcsh"), "'tcsh'"),
    ],
)
def test_misuse_is_one_line_that_names_the_field_and_exits_with_2(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert err.startswith("tailrace")


@pytest.mark.parametrize("verb", ["", *sorted(each.name for each in entry_points(group="tailrace.commands"))])
def test_help_fits_eighty_columns(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert command(*verb.split(), "--help") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("term", "dumb"), [("xterm", False), ("dumb", True), ("unknown", True), ("", True)])
def test_an_unknown_terminal_is_dumb(term: str, dumb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    assert is_dumb() is dumb


def test_a_setting_that_breaks_its_rule_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_PREFIX", "a b")
    assert command("status", JOB) == 2
    assert "TAILRACE_PREFIX: " in capsys.readouterr().err


def test_a_redis_that_cannot_be_reached_is_one_line_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("status", JOB, "--redis-url", "redis://user:secret@localhost:1") == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "redis://user:***@localhost:1 cannot be reached" in err


@pytest.mark.parametrize(("module", "extra"), extras())
def test_a_verb_without_its_extra_names_the_package_and_the_extra(
    module: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Verb(ModuleNotFoundError(f"No module named '{module}.part'", name=f"{module}.part")))
    assert command("raise") == 1
    assert capsys.readouterr().err == (
        f"tailrace raise: The package '{module}' is not installed: pip install 'tailrace[{extra}]'\n"
    )


def test_a_worker_without_its_extra_names_the_package_and_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert command("worker") == 1
    assert capsys.readouterr().err == (
        "tailrace worker: The package 'uvloop' is not installed: pip install 'tailrace[worker]'\n"
    )


def test_a_missing_module_that_no_extra_installs_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Verb(ModuleNotFoundError("No module named 'misspelt'", name="misspelt")))
    with pytest.raises(ModuleNotFoundError):
        command("raise")


@pytest.mark.parametrize(("error", "code"), [(TailraceError("it broke"), 1), (KeyboardInterrupt(), 130)])
def test_an_error_is_printed_and_an_interrupt_is_not(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Verb(error))
    assert command("raise") == code
    assert capsys.readouterr().err == ("tailrace raise: it broke\n" if code == 1 else "")
