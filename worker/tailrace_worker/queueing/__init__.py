"""The queue's side of a worker: claiming jobs, holding them by leases, and handing them back."""
