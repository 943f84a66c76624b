"""Reading the streams of jobs: one reader serves all tails of a process."""
