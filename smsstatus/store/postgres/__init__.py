"""The store in PostgreSQL: for hosts without a disk, and for many processes."""
