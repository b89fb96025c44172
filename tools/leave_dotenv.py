"""Have flask, in the virtual environment that runs this, leave `.env` to wsgi.py.

flask reads the nearest one upwards before wsgi.py can say anything, and if that is not UTF-8 it
ends in a traceback. Only an environment variable prevents that, so Python sets it when it starts
(https://docs.python.org/3/library/site.html).
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

SET = 'import os; os.environ.setdefault("FLASK_SKIP_DOTENV", "1")\n'

if __name__ == "__main__":
    Path(sysconfig.get_path("purelib"), "smsstatus.pth").write_text(SET)
