#!/bin/sh
# Runs once, when the data volume is new: creates a role with its databases for each application.
set -eu
# psql reads them from the environment: an argument would be visible in the list of processes.
INTEGRATOR_PASSWORD="$(cat /run/secrets/integrator_db_password)"
TEMPORAL_PASSWORD="$(cat /run/secrets/temporal_db_password)"
export INTEGRATOR_PASSWORD TEMPORAL_PASSWORD
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv integrator_password INTEGRATOR_PASSWORD
\getenv temporal_password TEMPORAL_PASSWORD
CREATE ROLE integrator LOGIN PASSWORD :'integrator_password';
CREATE DATABASE integrator OWNER integrator;
REVOKE CONNECT ON DATABASE integrator FROM PUBLIC;
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
REVOKE CONNECT ON DATABASE temporal FROM PUBLIC;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE temporal_visibility FROM PUBLIC;
SQL
