"""What adapters share: HTTP, money, secrets, signatures and texts. Nothing here knows a PSP."""
