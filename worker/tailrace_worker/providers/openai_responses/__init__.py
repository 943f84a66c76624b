"""The adapter of OpenAI's Responses, and of servers that speak the same protocol."""
