"""The worker's side of tailrace: the worker, the adapters of the providers, and the simulator."""
