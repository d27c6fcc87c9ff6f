"""The CPU backend on kernels of our own, whole steps in one call; docs/adr says what it gains and costs."""
