#!/bin/sh
# Brings the schemas of Temporal's two databases to the version of this image. The databases exist
# and belong to SQL_USER. Can be run repeatedly. Run it before a newer server starts, never after.
set -eu
for schema in temporal visibility; do
    case "$schema" in
    temporal) database=temporal ;;
    *) database=temporal_visibility ;;
    esac
    tool() {
        temporal-sql-tool --plugin postgres12 --endpoint "$SQL_HOST" --port "$SQL_PORT" \
            --user "$SQL_USER" --database "$database" "$@"
    }
    tool setup-schema --version 0.0
    tool update-schema --schema-name "postgresql/v12/$schema"
done
