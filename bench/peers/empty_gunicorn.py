"""The project's own gunicorn.conf.py for the empty app: less the hooks that start a store."""

from pathlib import Path

exec(Path("gunicorn.conf.py").read_text())  # gunicorn itself reads its settings in this way
for _hook in ("post_worker_init", "worker_exit"):
    globals().pop(_hook, None)
