"""The public server: audio and conversations in, results out."""
