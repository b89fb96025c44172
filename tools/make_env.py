"""Write a first .env from .env.example, with new random tokens; never touches an existing one.

python tools/make_env.py [PORT]
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path


def main(port: str = "8000") -> None:
    text = Path(".env.example").read_text()
    for name in ("PLIVO_AUTH_TOKEN", "API_TOKEN"):
        text = _set(text, name, secrets.token_urlsafe(24))
    # Whoever reads .env, the shell too, puts PORT there if it is set.
    text = _set(text, "BASE_URL", f"http://127.0.0.1:${{PORT:-{port or '8000'}}}")
    descriptor = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
    print("Made .env with random local tokens. Put your Plivo Auth Token there to go live.")


def _set(text: str, name: str, value: str) -> str:
    return re.sub(rf"^#? ?{name}=.*$", f"{name}={value}", text, count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    main(*sys.argv[1:2])
