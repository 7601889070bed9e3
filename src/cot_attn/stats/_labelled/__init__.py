"""From labelled arrays to plain ones and back, by label."""
