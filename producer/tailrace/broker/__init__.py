"""Redis as this package uses it: connections, errors, and what is done when the server is away."""
