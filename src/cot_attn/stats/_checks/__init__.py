"""Single checks: each looks at one thing that can be wrong, and says what it found."""
