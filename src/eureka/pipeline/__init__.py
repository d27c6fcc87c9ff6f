"""From the pcm of one window to text, over small Protocols; no torch."""
