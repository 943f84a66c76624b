"""A request to enqueue."""

import pytest

from tailrace import GenerationRequest


@pytest.fixture
def request_() -> GenerationRequest:
    return GenerationRequest(provider="openai", model="m", messages=[{"role": "user", "content": "Hi"}])
