"""Second stage: encoder frames to audio embeddings."""
