"""Nano: a small language model trained on invented markets alone."""
