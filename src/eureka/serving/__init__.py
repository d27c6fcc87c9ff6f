"""Numpy backends behind Triton: what the models of `model_repo` do, without Triton."""
