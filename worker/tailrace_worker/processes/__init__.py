"""The child processes of a command: several workers, a Valkey server, the services of `demo` and `dev`."""
