"""The client for code without asyncio, such as Flask, Django, Celery and scripts: the same methods, which block."""

from tailrace.sync.client import Tailrace
from tailrace.sync.conversation import Conversation
from tailrace.sync.iteration import Iteration
from tailrace.sync.job import Job
from tailrace.sync.tail import Tail

__all__ = ["Conversation", "Iteration", "Job", "Tail", "Tailrace"]
