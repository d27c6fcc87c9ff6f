import numpy as np
import pytest

from eureka.errors import NotFoundError
from eureka.evaluation.rendered_sounds import RENDERED_LABELS, render_sound


@pytest.mark.parametrize("label", RENDERED_LABELS)
def test_rendered_sound_is_finite_within_full_scale_and_repeats(label):
    pcm = render_sound(label, 1.5, seed=4)
    assert pcm.shape == (24_000,)
    assert pcm.dtype == np.float32
    assert np.isfinite(pcm).all()
    assert 0.05 < np.abs(pcm).max() <= 1
    assert np.array_equal(pcm, render_sound(label, 1.5, seed=4))
    assert not np.array_equal(pcm, render_sound(label, 1.5, seed=5))


def test_render_sound_of_unknown_label_names_the_known_ones():
    with pytest.raises(NotFoundError, match="rain"):
        render_sound("rooster", 1.0, seed=0)
