"""Backends: what decodes. Each takes the same requests and gives the tokens of the same answers."""
