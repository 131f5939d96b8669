"""Fuzzer check of which server errors are allowed.

The contract answers several refusals with status 500 and a specific code, so that the status
alone is not sufficient.
"""

from typing import Any

import schemathesis

UNEXPECTED = {"InternalError", "InternalProviderError", "UnmappedError", None}


@schemathesis.check
def server_errors_are_the_contracts(_context: Any, response: Any, _case: Any) -> None:
    """Status 500 with a refusal's code, or 503 with a time to come back."""
    if response.status_code == 503:
        assert response.headers.get("retry-after")
    elif response.status_code >= 500:
        assert response.json().get("errorCode") not in UNEXPECTED
