"""What keeps the data right: a thread that looks after it, and asking Plivo what was missed."""
