"""How often sentences are cut too early, or not at all, on golden rules of a sentence splitter.

    python -m benchmarks.sentences pySBD/tests/lang/test_english.py pySBD/tests/lang/test_japanese.py

The rules are read as they stand in the tests of pySBD, in lists of `(text, [sentence, ...])`. A text comes character by
character. A cut is early if it is not at the end of a sentence of the rule, and an end without a cut is missed; the
end of the text counts as neither. A rule whose sentences are not the text, because they are cleaned, is left out.
"""

import argparse
import ast
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks.figures import show, show_origin
from tailrace_worker.shaping.sentences import last_sentence_end

Rule: TypeAlias = tuple[str, list[str]]

_CONTEXT_CHARS: Final = 30


def rules(path: Path) -> Iterator[tuple[str, list[Rule]]]:
    """The lists of rules in a Python file, by their names."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            found = [rule for each in node.value.elts if (rule := _rule(each))]
            if found:
                yield ast.unparse(node.targets[0]), found


def _rule(node: ast.expr) -> Rule | None:
    match node:
        case ast.Tuple([*_, ast.Constant(str(text)), ast.List(sentences)]):
            pass
        # pytest.param, for a rule that pySBD itself does not keep.
        case ast.Call(args=[ast.Constant(str(text)), ast.List(sentences)]):
            pass
        case _:
            return None
    return text, [str(ast.literal_eval(sentence)) for sentence in sentences]


def cuts(text: str) -> list[int]:
    """Return where a text that comes character by character is cut."""
    found: list[int] = []
    start = 0
    for at in range(1, len(text) + 1):
        if end := last_sentence_end(text[start:at], at - 1 - start):
            start += end
            found.append(start)
    return found


def _solid(text: str) -> str:
    """Return the text without white space, because rules differ in which sentence it belongs to."""
    return "".join(text.split())


def compare(text: str, sentences: list[str]) -> tuple[list[str], int, int]:
    """Return the early cuts in their context, how many ends are missed, and how many there are."""
    *inner, _ = accumulate(len(_solid(sentence)) for sentence in sentences)
    ends = set(inner)
    came = {len(_solid(text[:cut])): cut for cut in cuts(text) if _solid(text[cut:])}
    early = [
        f"{text[max(0, cut - _CONTEXT_CHARS) : cut]} | {text[cut : cut + _CONTEXT_CHARS]}"
        for at, cut in came.items()
        if at not in ends
    ]
    return early, len(ends - came.keys()), len(ends)


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="Python files with golden rules")
    rows: list[list[object]] = []
    for path in parser.parse_args().paths:
        for name, listed in rules(path):
            kept = [(text, sentences) for text, sentences in listed if _solid(text) == _solid("".join(sentences))]
            compared = [compare(text, sentences) for text, sentences in kept]
            early = [cut for found, _, _ in compared for cut in found]
            print(*map(repr, early), sep="\n")
            missed, ends = (sum(figures) for figures in zip(*(rest for _, *rest in compared), strict=True))
            rows.append([name, len(kept), ends, len(early), missed])
    show("cuts between sentences", ["rules", "kept", "ends", "early", "missed"], rows)
    show_origin()


if __name__ == "__main__":
    main()
