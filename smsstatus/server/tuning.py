"""What the worker sets in its process, so that Python takes less of the loop's time."""

from __future__ import annotations

import gc
import sys

from gunicorn.config import Config

TURN_SECONDS = 0.0001
"""For which a thread that computes keeps the others from running Python. A callback takes many
turns, of two threads: with Python's 5 ms for each, long answers beside it cost it 200 ms.
"""
COLLECTED = 2_000
"""Objects after which Python looks for those that refer to each other, as 3.13 does by itself; 3.11
looks after 700. Each time no thread answers for milliseconds, and for 20 to 50 of them where the
whole program is looked at, which is left out.
"""


def take_short_turns() -> None:
    """No thread keeps the others waiting for longer than TURN_SECONDS."""
    sys.setswitchinterval(TURN_SECONDS)


def leave_out_the_program() -> None:
    """Once it is loaded, Python looks at objects that come later alone, each COLLECTED of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED)


def make_plain(config: Config) -> None:
    """Make plain attributes of gunicorn's settings, which change no more once a worker runs.

    A request looks at them some 20 times and once for each header, each time through two functions.
    """
    config.__dict__.update({name: setting.get() for name, setting in config.settings.items()})
