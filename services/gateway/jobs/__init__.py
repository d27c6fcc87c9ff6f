"""JobService: jobs for callers, over the object store and the queue."""
