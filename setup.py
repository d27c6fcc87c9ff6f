"""Builds the native kernels where a C++ compiler is; without one the package installs all the same.

NO_NATIVE_KERNELS=1 leaves them out. Everything else about the package stands in pyproject.toml.
"""

import os
from pathlib import Path

from setuptools import setup

try:
    from pybind11.setup_helpers import Pybind11Extension, build_ext
except ImportError:  # built without what pyproject.toml asks for: no kernels then
    Pybind11Extension = build_ext = None

FLAGS = ["-O3", "-Wno-psabi", "-fvisibility=hidden"]


def kernels() -> list[Pybind11Extension]:
    """The extension; one that fails to build is left out, with the compiler's words in pip's log."""
    folder = Path("src/eureka/engine/native/csrc")
    return [
        Pybind11Extension(
            "eureka.engine.native._kernels",
            sorted(str(path) for path in folder.glob("*.cpp")),
            depends=[str(path) for path in folder.glob("*.[hi]*")],
            extra_compile_args=FLAGS,
            cxx_std=17,
            optional=True,
        )
    ]


if Pybind11Extension is None or os.environ.get("NO_NATIVE_KERNELS") == "1":
    setup()
else:
    setup(ext_modules=kernels(), cmdclass={"build_ext": build_ext})
