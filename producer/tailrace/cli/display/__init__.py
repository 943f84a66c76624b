"""How answers are shown: as plain text, as JSON, or live on a terminal."""
