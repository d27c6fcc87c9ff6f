"""Background execution of jobs: a Celery app, its tasks, and the sweeper; run from a checkout."""
