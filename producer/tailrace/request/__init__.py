"""What a job asks for, and how it is validated before it is enqueued."""
