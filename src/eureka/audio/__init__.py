"""From encoded bytes to pcm, windows and log-mel spectrograms; no torch."""
