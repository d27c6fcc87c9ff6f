"""Published benchmarks as small files over one runner: a loader, what is asked, how it is scored."""
