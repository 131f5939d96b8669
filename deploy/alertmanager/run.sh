#!/bin/sh
# Starts Alertmanager with the webhook whose address is the content of ALERT_WEBHOOK_URL_FILE.
#
# The address may contain a token: it is written to a file that only this user can read, never to a
# command line or the log. `none`, as deploy/secrets.sh writes it, starts without a destination.
set -eu
file="${ALERT_WEBHOOK_URL_FILE:-/run/secrets/alert_webhook_url}"
config="${TMPDIR:-/tmp}/alertmanager.yml"

fail() {
    echo "ERROR $file $1: write one http or https address into it, or none." >&2
    exit 1
}

url="$(cat "$file")" || fail "cannot be read"
case "$url" in
*[[:space:]\'\"\\]*) fail "contains white space, a quote or a backslash" ;;
none | http://?* | https://?*) ;;
*) fail "contains no address" ;;
esac

umask 077
cat "$(dirname "$0")/alertmanager.yml" >"$config"
if [ "$url" = none ]; then
    echo "WARNING Alerts go nowhere: no receiver is set. Write its address into" \
        "deploy/secrets/alert_webhook_url and restart alertmanager." >&2
else
    cat >>"$config" <<END
    webhook_configs:
      - url: '$url'
        send_resolved: true
END
fi
# Alertmanager would print an address that it cannot parse.
amtool check-config "$config" >/dev/null 2>&1 || fail "contains an invalid address"
unset url
exec alertmanager --config.file="$config" "$@"
