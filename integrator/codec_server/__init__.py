"""Codec server: decrypts payloads for operators of the Temporal Web UI; a separate process."""
