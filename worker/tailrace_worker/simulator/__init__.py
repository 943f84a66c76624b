"""A server that speaks the providers' wire protocols, for the demo, the tests and the benchmarks."""

from tailrace_worker.simulator.journal import Journal, JournalEntry
from tailrace_worker.simulator.scenario import Scenario
from tailrace_worker.simulator.server import Simulator

__all__ = ["Journal", "JournalEntry", "Scenario", "Simulator"]
