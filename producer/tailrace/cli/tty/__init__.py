"""The terminal itself: drawing, Ctrl-C and Ctrl-Z."""
