"""Kernels run by Triton's interpreter where there is no GPU; it is asked for before they are imported."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
