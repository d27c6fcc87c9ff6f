"""Parts of the benchmarks of speed: both sides, what is measured of them, and the file of results."""
