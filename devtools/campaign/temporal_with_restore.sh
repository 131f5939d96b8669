#!/bin/sh
# Put back the backup that waits beside the server's database, then become the Temporal server.
set -eu
if [ -f "$CAMPAIGN_TEMPORAL_DB.restore" ]; then
    rm -f "$CAMPAIGN_TEMPORAL_DB-wal" "$CAMPAIGN_TEMPORAL_DB-shm"
    mv "$CAMPAIGN_TEMPORAL_DB.restore" "$CAMPAIGN_TEMPORAL_DB"
fi
exec "$CAMPAIGN_TEMPORAL_BIN" "$@"
