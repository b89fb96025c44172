"""What was counted over a window, and what that says."""
