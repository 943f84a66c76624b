"""The adapter of OpenAI's Chat Completions, and of servers that speak the same protocol."""
