"""Third stage: instructions and audio embeddings to text."""
