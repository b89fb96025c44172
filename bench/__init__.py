"""Measures smsstatus beside the services it is compared with. See bench/README.md.

Nothing here is imported by the service.
"""
