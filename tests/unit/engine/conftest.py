import pytest
from tests.helpers.tiny_model import tiny_model

from eureka.model.eureka_audio import EurekaAudio


@pytest.fixture(scope="session")
def model() -> EurekaAudio:
    return tiny_model()
