"""Development stack: start, supervise and seed all processes on one machine, and run a demo."""
