"""Fronts: the APIs of OpenAI and Anthropic, spoken by the gateway in front of every provider.

Each front is a package of its own beside this one. This package has what they share: the names of models, the fields
that are refused, the way from a job to a response, and what happens when a client leaves.
"""
