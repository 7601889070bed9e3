"""Single checks of published tables, and of arrays from elsewhere."""
