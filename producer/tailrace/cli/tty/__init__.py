"""Drawing on the terminal, and its keys Ctrl-C and Ctrl-Z."""
