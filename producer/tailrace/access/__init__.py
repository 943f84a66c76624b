"""Who may use the gateways of a Redis: API keys, their limits, and the key that signs URLs."""
