"""Answers as a person or a program wants to see them: plain text, JSON, or a live terminal."""
