"""What people meet in the field: inputs that once failed, each replayed against a real service."""
