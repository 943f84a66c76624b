"""How much `redact` finds of what it should find, compared with other tools.

    python -m benchmarks.redaction                      # telephone numbers
    python -m benchmarks.redaction --detect-secrets DIR # secrets too, of the tests in a checkout of detect-secrets

The numbers are Faker's, and count if they are found whole. presidio's recognizer has the regions that it
has by default, and a number counts for it if any part is found. The samples are the ones that detect-secrets' own tests
say it finds: they are in its repository, and not in its packages.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from benchmarks.figures import show, show_origin
from tailrace.request.guards import Kind
from tailrace_worker.shaping.guards.compiler import GuardCompiler
from tailrace_worker.shaping.guards.search import Search

LOCALES: Final = ("en_US", "es_MX", "sv_SE", "pt_BR", "pl_PL", "en_AU", "zh_CN", "ja_JP", "ko_KR")

_COMPILER: Final = GuardCompiler()


def found(text: str, kind: Kind) -> list[str]:
    """Return what `redact` finds of a kind in a text."""
    search = Search(_COMPILER.rules_of({"type": "redact", "kinds": [kind]}))
    return [segment.text for segment in (*search.feed(text), *search.end()) if segment.kind]


def is_installed(package: str) -> bool:
    """Whether a package is installed; prints a line if it is not."""
    if importlib.util.find_spec(package):
        return True
    print(f"{package} is not installed: what needs it is left out.")
    return False


def phones(count: int) -> None:
    """Recall of telephone numbers."""
    if not is_installed("faker"):
        return
    faker = importlib.import_module("faker").Faker
    recognizes = presidio() if is_installed("presidio_analyzer") else None
    rows: list[list[object]] = []
    for locale in LOCALES:
        fake = faker(locale)
        fake.seed_instance(0)
        numbers: list[str] = [fake.phone_number() for _ in range(count)]
        ours = sum(found(f"Call {number} today.", "phone") == [number] for number in numbers)
        theirs = sum(recognizes(f"Call {number} today.") for number in numbers) if recognizes else ""
        rows.append([locale, ours, theirs])
    show(f"found of {count} telephone numbers", ["locale", "tailrace", "presidio"], rows)


def presidio() -> Callable[[str], bool]:
    """Whether presidio finds a number in a text."""
    recognizer: Any = importlib.import_module("presidio_analyzer.predefined_recognizers").PhoneRecognizer()
    return lambda text: bool(recognizer.analyze(text, ["PHONE_NUMBER"]))


def secrets(directory: Path) -> None:
    """Recall of secrets."""
    rows: list[list[object]] = []
    missed: list[str] = []
    for path in sorted(directory.rglob("*_test.py")):
        samples = list(samples_of(path))
        not_found = [sample for sample in samples if not found(sample, "secret")]
        if samples:
            rows.append([path.stem, len(samples) - len(not_found), len(samples)])
        missed += not_found
    rows.append(["all", sum(int(str(row[1])) for row in rows), sum(int(str(row[2])) for row in rows)])
    show("secrets found of detect-secrets' samples", ["module", "found", "samples"], rows)
    for sample in missed:
        print("missed:", repr(sample[:100]))


def samples_of(path: Path) -> Iterator[str]:
    """Return what the tests of a module expect to be found: their first parameter, unless the second one is false."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        print(f"{path.name} is left out: {error}.")
        return
    for function in functions(module):
        for mark in getattr(function, "pytestmark", ()):
            if mark.name == "parametrize" and function.__name__.startswith("test_analyze"):
                parameters: list[object] = list(mark.args[1])
                for parameter in parameters:
                    match parameter:
                        case str(sample) | (str(sample), True):
                            yield sample
                        case _:
                            pass


def functions(module: ModuleType) -> Iterable[Any]:
    """Yield the functions of a module and of its classes."""
    for value in vars(module).values():
        yield value
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield from vars(value).values()


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=200, help="a locale (default: %(default)s)")
    parser.add_argument("--detect-secrets", type=Path, metavar="DIR", help="its tests/plugins")
    options = parser.parse_args()
    phones(options.numbers)
    if options.detect_secrets:
        sys.path.insert(0, str(options.detect_secrets.parent.parent))
        secrets(options.detect_secrets)
    show_origin()


if __name__ == "__main__":
    main()
