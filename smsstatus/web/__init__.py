"""The HTTP interface: blueprints, and the answers that they share."""
