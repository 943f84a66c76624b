"""One attempt at a job: it calls the providers, and hands their pieces to the job's stream."""
