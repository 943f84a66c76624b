"""The demo, which a newcomer sees first."""
