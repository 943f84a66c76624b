"""One attempt at a job: the calls to its providers, and where their pieces go."""
