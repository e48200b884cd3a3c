import pytest

from counterpoint.config.train import EncoderConfig
from counterpoint.encoder import TextEncoder


@pytest.mark.slow
def test_the_default_encoder_knows_what_texts_mean() -> None:
    texts = ["A war among the stars", "Battle of space ships", "Growing tomatoes at home"]
    encoder = TextEncoder(EncoderConfig())
    stars, ships, tomatoes = encoder.encode(texts)
    assert encoder.dim == 384
    assert stars @ ships > 0.4 > 0.2 > stars @ tomatoes
