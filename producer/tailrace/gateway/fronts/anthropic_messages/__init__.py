"""The front of Anthropic's Messages."""
