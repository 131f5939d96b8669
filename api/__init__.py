"""The HTTP side: the platform's contract and the PSPs' notifications."""
