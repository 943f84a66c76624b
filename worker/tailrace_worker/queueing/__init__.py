"""The queue's side of a worker: it claims jobs, holds them by leases, and releases them or hands them back."""
