"""Shows an operator, through the Temporal Web UI, what payloads hold; a process of its own."""
