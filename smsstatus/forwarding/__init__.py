"""Each change of a message's status, sent on to one address of the user's own."""
