"""What is ours: when the line runs, what a job is of, the feed, the alerts."""
