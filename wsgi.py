"""The application for gunicorn and the flask command: `gunicorn wsgi:app`, `flask --app wsgi`."""

import sys

from dotenv import load_dotenv

from smsstatus import create_app
from smsstatus.service import StartError
from smsstatus.settings import SettingsError

load_dotenv()
try:
    app = create_app()
except (SettingsError, StartError) as error:
    print(f"smsstatus cannot start: {error}", file=sys.stderr)
    raise SystemExit(4) from None  # 4 also tells gunicorn's master not to try again
