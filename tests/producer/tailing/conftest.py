"""A job whose stream the test writes by hand."""

import pytest

from tailrace import Job, Tailrace
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys
from tests.support.handwritten import REQUEST, HandwrittenStream


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await tailrace.enqueue(REQUEST)


@pytest.fixture
def stream(broker: Broker, keys: Keys, job: Job) -> HandwrittenStream:
    return HandwrittenStream(broker, keys, job)
