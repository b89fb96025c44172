"""The application for gunicorn and the flask command: `gunicorn wsgi:app`, `flask --app wsgi`."""

import sys

from smsstatus import create_app
from smsstatus.service import StartError
from smsstatus.settings import SettingsError, read_dotenv

try:
    read_dotenv()
    app = create_app()
except (SettingsError, StartError) as error:
    for line in str(error).splitlines():
        print(f"smsstatus cannot start: {line}", file=sys.stderr)
    raise SystemExit(4) from None  # 4 also keeps gunicorn's master from trying again
