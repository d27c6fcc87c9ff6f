"""Eureka Audio Platform: software that hears."""

__version__ = "0.1.0"
