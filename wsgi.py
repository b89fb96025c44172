"""The application for gunicorn and the flask command: `gunicorn wsgi:app`, `flask --app wsgi`."""

from smsstatus import load_app

app = load_app()
