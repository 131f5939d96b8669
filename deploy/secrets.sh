#!/bin/sh
# Creates the secrets in the given folder, deploy/secrets by default. Existing files are kept.
#
# Without integrator_keys the PSP credentials and payment data in the database are lost: keep a copy
# in another place than the database's backups.
set -eu
folder="${1:-$(dirname "$0")/secrets}"
# Only its owner can access the folder. The files must be readable by the containers' users.
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

make() {
    if [ ! -e "$folder/$1" ]; then
        printf '%s\n' "$2" >"$folder/.$1"
        mv "$folder/.$1" "$folder/$1"
        echo "created $folder/$1"
    fi
}

make integrator_keys "k1:$(openssl rand -base64 32)"
make codec_token "$(openssl rand -hex 24)"
make postgres_password "$(openssl rand -hex 24)"
make temporal_db_password "$(openssl rand -hex 24)"
make integrator_db_password "$(openssl rand -hex 24)"
password="$(cat "$folder/integrator_db_password")"
make integrator_database_url "postgresql://integrator:$password@postgres:5432/integrator"
make grafana_password "$(openssl rand -hex 24)"
# Replace it by the address of the webhook that receives alerts: docs/runbook.md.
make alert_webhook_url none
