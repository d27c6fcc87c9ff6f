"""The compiled extension, which may be absent, broken or made for another machine; one clear reason then."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

from eureka.errors import InvalidInputError, NotFoundError
from eureka.model.config import EurekaConfig

MODULE = "eureka.engine.native._kernels"


@functools.cache
def load_extension(name: str = MODULE) -> ModuleType:
    """The extension module.

    Raises:
        NotFoundError: it is not built, or cannot be loaded here; the message says why.
    """
    try:
        extension = importlib.import_module(name)
    except ImportError as error:
        raise NotFoundError(
            f"the native kernels cannot be loaded ({error}); installing the package where a C++ compiler is"
            " builds them",
            reason="NATIVE_NOT_BUILT",
        ) from error
    if not extension.runnable_kernels():
        raise NotFoundError("the native kernels do not run on this processor", reason="NATIVE_NOT_BUILT")
    return extension


def check_shapes(config: EurekaConfig) -> None:
    """Refuse a checkpoint whose widths the kernels are not made for.

    Raises:
        InvalidInputError: heads that are no multiples of 16 wide, or layers none of 16 or 64.
    """
    decoder, encoder = config.backbone, config.audio_encoder
    widths = {
        "backbone.head_dim": (decoder.head_dim, 16),
        "backbone.hidden_size": (decoder.hidden_size, 16),
        "backbone.intermediate_size": (decoder.intermediate_size, 16),
        "audio_encoder.d_model": (encoder.d_model, 64),
        "audio_encoder's width of a head": (encoder.d_model // encoder.encoder_attention_heads, 16),
        "audio_encoder.encoder_ffn_dim": (encoder.encoder_ffn_dim, 64),
    }
    for name, (width, step) in widths.items():
        if width % step:
            message = f"the native kernels take multiples of {step} for {name}, not {width}"
            raise InvalidInputError(message, reason="NATIVE_SHAPES")
