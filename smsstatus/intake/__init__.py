"""The promise: what was answered 200 is in the store, in the spool or in the log."""
