"""The `eureka` command."""
