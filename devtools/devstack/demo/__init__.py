"""One customer's life, played against a running stack and shown as a timeline."""
