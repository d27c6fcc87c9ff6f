"""First stage: pcm to encoder frames or audio embeddings."""
