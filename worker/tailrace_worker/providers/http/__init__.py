"""One HTTP call to a provider, and the bytes of its answer."""
