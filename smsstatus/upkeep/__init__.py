"""What the service does by itself to keep its data right."""
