"""Plivo: what it says and how, and the one module that calls it."""
