"""Appending to the streams of jobs, in batches."""
