"""The publisher, which appends entries to the streams of jobs in batches."""
