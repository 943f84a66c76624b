"""The verbs that the worker's package adds to the `tailrace` command."""
