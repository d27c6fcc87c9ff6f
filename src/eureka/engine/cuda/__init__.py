"""The GPU backend: decode steps as CUDA graphs over kernels in the Triton language; docs/adr says why."""
