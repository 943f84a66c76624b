"""The commands of the light side, one module each."""
