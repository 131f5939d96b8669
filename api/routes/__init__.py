"""One router per resource, and the page of the API's documentation."""
