#!/bin/sh
# Temporal's programs take the database's password from the environment only. Read here, it is in
# theirs and nowhere else: neither in the container's description nor in a file of settings.
set -eu
POSTGRES_PWD="$(cat "${TEMPORAL_DB_PASSWORD_FILE:-/run/secrets/temporal_db_password}")"
SQL_PASSWORD="$POSTGRES_PWD"
export POSTGRES_PWD SQL_PASSWORD
exec "$@"
