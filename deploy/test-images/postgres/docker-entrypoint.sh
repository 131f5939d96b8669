#!/bin/bash
# Initialises an empty data folder, runs the scripts of /docker-entrypoint-initdb.d, and starts the
# server as the user postgres. Knows POSTGRES_USER, POSTGRES_PASSWORD_FILE and POSTGRES_DB.
set -euo pipefail
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
    chmod 700 "$PGDATA"
    exec gosu postgres "$0" "$@"
fi
export POSTGRES_USER="${POSTGRES_USER:-postgres}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --auth-local trust \
        --auth-host scram-sha-256 --pwfile "$POSTGRES_PASSWORD_FILE" >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # On the socket only: over TCP the server is not ready before the scripts have run.
    pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=''" --wait start >/dev/null
    if [ "${POSTGRES_DB:-postgres}" != postgres ]; then
        createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    fi
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [ ! -e "$script" ] || sh "$script"
    done
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop >/dev/null
fi
exec "$@" -c "listen_addresses=*"
