#!/bin/sh
# Creates the namespace TEMPORAL_NAMESPACE with the retention TEMPORAL_RETENTION on the server
# TEMPORAL_ADDRESS, or updates its retention. Can be run repeatedly.
set -eu
attempts=60
until temporal operator cluster health >/dev/null 2>&1; do
    attempts=$((attempts - 1))
    if [ "$attempts" -eq 0 ]; then
        echo "Temporal at $TEMPORAL_ADDRESS does not answer." >&2
        exit 1
    fi
    sleep 1
done
# The namespace is given explicitly: not all of these commands read it from the environment.
if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    change=update
else
    change=create
fi
temporal operator namespace "$change" \
    --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
