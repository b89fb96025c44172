"""gunicorn: the worker, and what it stands on."""
