#!/bin/sh
# Creates Temporal's two databases and migrates their schemas to the version of this image. Can be
# run repeatedly. Run it before a newer server starts, never after.
set -eu
for database in temporal temporal_visibility; do
    case "$database" in
    temporal) versions=temporal ;;
    *) versions=visibility ;;
    esac
    tool() {
        temporal-sql-tool --plugin postgres12 --endpoint "$SQL_HOST" --port "$SQL_PORT" \
            --user "$SQL_USER" --database "$database" "$@"
    }
    tool create-database
    tool setup-schema --version 0.0
    tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$versions/versioned"
done
