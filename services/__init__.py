"""The services: each reads its settings, builds its objects and translates between messages and types."""
