"""SQLite: the embedded default. The only room that imports sqlite3."""
