"""Send a message through Plivo, which reports to smsstatus: python send.py FROM TO TEXT

With Plivo's library: client.messages.create(src=..., dst=..., text=..., url=callback)
"""

import base64
import json
import os
import sys
import urllib.request

account, token = os.environ["PLIVO_AUTH_ID"], os.environ["PLIVO_AUTH_TOKEN"]
api = os.environ.get("PLIVO_API_URL", "https://api.plivo.com")
callback = os.environ["BASE_URL"] + "/plivo/status?order=42"  # your own reference

sender, recipient, text = sys.argv[1:4]
message = {"src": sender, "dst": recipient, "text": text, "url": callback}
login = base64.b64encode(f"{account}:{token}".encode()).decode()
headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
request = urllib.request.Request(
    f"{api}/v1/Account/{account}/Message/", json.dumps(message).encode(), headers
)
with urllib.request.urlopen(request, timeout=20) as answer:
    print(json.load(answer)["message_uuid"][0])
