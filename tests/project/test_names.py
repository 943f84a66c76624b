"""One class name stands for one thing."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def test_a_class_name_is_defined_once_but_for_what_a_providers_protocol_calls_so() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for package in (ROOT / "producer", ROOT / "worker"):
        for path in package.rglob("*.py"):
            if path.parent.name == "sync":
                # What blocks is called as what does not: `tailrace.sync.Job` is the `Job` of code without asyncio.
                continue
            for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
                if path.name != "wire.py" or "providers" not in path.parts:
                    places[name].append(str(path.relative_to(ROOT)))
    assert len(places) > 100
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
