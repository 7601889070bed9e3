"""What the problem browser of a page shows, and its script and style."""
