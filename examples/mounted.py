"""A Flask application that you already have, with smsstatus in the same process under /sms.

BASE_URL has to end in /sms: Plivo then calls https://shop.example.com/sms/plivo/status. Serve it as
you do now; what another server than smsstatus's own leaves out is in docs/deploying.md.
"""

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from smsstatus import create_app

app = Flask(__name__)


@app.get("/")
def shop() -> str:
    return "The shop"


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/sms": create_app()})  # type: ignore[method-assign]
