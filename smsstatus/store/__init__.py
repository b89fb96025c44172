"""Where messages and their events are kept: one contract, a room for each database."""
