"""The official SDKs, each loaded only if a provider needs it."""
