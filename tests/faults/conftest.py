"""What all tests of faults have in common."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of these tests may start processes, to kill them or to suspend them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("process")
