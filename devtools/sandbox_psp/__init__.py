"""A stand-alone development PSP: REST API, hosted checkout, ledger, webhooks, faults."""
