"""What a person types: the flask commands."""
