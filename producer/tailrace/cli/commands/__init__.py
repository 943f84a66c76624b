"""The verbs of the `tailrace` command that do not need the worker's package, one module for each."""
