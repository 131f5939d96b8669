#!/bin/sh
# Runs once, when the data volume is new: creates a role with its permissions for each application.
set -eu
integrator_password="$(cat /run/secrets/integrator_db_password)"
temporal_password="$(cat /run/secrets/temporal_db_password)"
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set integrator_password="$integrator_password" \
    --set temporal_password="$temporal_password" <<'SQL'
CREATE ROLE integrator LOGIN PASSWORD :'integrator_password';
CREATE DATABASE integrator OWNER integrator;
REVOKE CONNECT ON DATABASE integrator FROM PUBLIC;
-- Temporal's set-up creates its own two databases.
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal_password';
SQL
