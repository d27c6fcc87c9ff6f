"""Requests, slots, sampling and the loop that decodes them."""
