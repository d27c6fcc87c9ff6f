"""Settings and logging, built in roots only."""
