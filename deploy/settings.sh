# Reads the variables of `.env` in the current folder; sourced by preflight.sh and upgrade.sh.

setting() { # name, default: the value as docker compose reads it
    local value
    value=$(sed -n "s/^$1=//p" .env | tail -1)
    value=${!1:-$value}
    value=${value%% #*}
    value=${value//[\"\']/}
    value=${value%"${value##*[![:space:]]}"}
    echo "${value:-$2}"
}
