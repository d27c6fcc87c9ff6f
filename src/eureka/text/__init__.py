"""Tokenizer, prompt layouts, incremental text and segments; no torch."""
