"""HTTP API: the Billwerk+ contract, PSP notifications, OAuth tokens and health checks."""
