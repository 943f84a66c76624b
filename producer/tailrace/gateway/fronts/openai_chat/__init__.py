"""The front of OpenAI's Chat Completions."""
