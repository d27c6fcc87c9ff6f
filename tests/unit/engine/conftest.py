import pytest

from eureka.model.eureka_audio import EurekaAudio
from tests.helpers.tiny_model import tiny_model


@pytest.fixture(scope="session")
def model() -> EurekaAudio:
    return tiny_model()
