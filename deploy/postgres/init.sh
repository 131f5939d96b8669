#!/bin/sh
# Runs once, when the data volume is new: one role and its rights for each user of the server.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set integrator_password="$INTEGRATOR_DB_PASSWORD" \
    --set temporal_password="$TEMPORAL_DB_PASSWORD" <<'SQL'
CREATE ROLE integrator LOGIN PASSWORD :'integrator_password';
CREATE DATABASE integrator OWNER integrator;
REVOKE CONNECT ON DATABASE integrator FROM PUBLIC;
-- Temporal's set-up makes its own two databases.
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal_password';
SQL
