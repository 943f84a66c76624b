"""What producers, workers and readers say to each other through Redis: keys, entries and scripts."""
