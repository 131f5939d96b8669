#!/bin/sh
# Temporal's programs read the database password from the environment only. Reading the file here
# keeps it out of the container's description and of configuration files.
set -eu
POSTGRES_PWD="$(cat "${TEMPORAL_DB_PASSWORD_FILE:-/run/secrets/temporal_db_password}")"
SQL_PASSWORD="$POSTGRES_PWD"
export POSTGRES_PWD SQL_PASSWORD
exec "$@"
