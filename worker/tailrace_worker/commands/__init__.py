"""The verbs that the worker's side adds to the `tailrace` command."""
