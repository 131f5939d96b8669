#!/bin/bash
# Checks `.env`, the secrets and this machine before `docker compose up`: what would not start, or
# would connect containers with what they must not reach. Changes nothing.
#
#   deploy/preflight.sh    prints every problem with its remedy; exit code 1 if there is one
set -euo pipefail
cd "$(dirname "$0")/.."

problems=0
problem() {
    printf '%s\n' "$1" >&2
    problems=$((problems + 1))
}

if [ ! -e .env ]; then
    echo ".env is missing: cp deploy/.env.example .env, and fill it in." >&2
    exit 1
fi

# shellcheck source=deploy/settings.sh
. deploy/settings.sh

# First and last address of an IPv4 network, as numbers.
range() { # address/prefix
    local a b c d prefix size first
    IFS=./ read -r a b c d prefix <<<"$1"
    prefix=${prefix:-32}
    size=$((1 << (32 - prefix)))
    first=$(((a << 24) + (b << 16) + (c << 8) + d))
    first=$((first / size * size))
    echo "$first $((first + size - 1))"
}

is_network() { # address, address/prefix, or something else
    [[ $1 =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}(/([0-9]|[12][0-9]|3[0-2]))?$ ]]
}

overlaps() { # network, network
    local first last other_first other_last
    read -r first last <<<"$(range "$1")"
    read -r other_first other_last <<<"$(range "$2")"
    [ "$first" -le "$other_last" ] && [ "$other_first" -le "$last" ]
}

contains() { # network, address
    local first last address
    read -r first last <<<"$(range "$1")"
    read -r address _ <<<"$(range "$2")"
    [ "$first" -le "$address" ] && [ "$address" -le "$last" ]
}

check_docker() {
    local version
    if ! version=$(docker compose version --short 2>/dev/null); then
        problem "docker compose does not run: install Docker and its compose plugin, version 2.24 or newer."
        return
    fi
    version=${version#v}
    if [ "$(printf '2.24\n%s\n' "$version" | sort -V | head -1)" != 2.24 ]; then
        problem "docker compose is version $version: 2.24 or newer is needed."
    fi
    if ! docker info >/dev/null 2>&1; then
        problem "The Docker daemon does not answer: start it, or give this user access to it."
    fi
}

check_settings() {
    local url
    url=$(setting INTEGRATOR_PUBLIC_URL "")
    case $url in
    https://*/) problem "INTEGRATOR_PUBLIC_URL is $url: remove the slash at its end." ;;
    https://*) ;;
    *) problem "INTEGRATOR_PUBLIC_URL is '$url': set the address at which PSPs and browsers reach the API, https://..." ;;
    esac
    local name
    for name in integrator_keys integrator_database_url integrator_db_password temporal_db_password \
        postgres_password codec_token grafana_password alert_webhook_url; do
        if [ ! -s "deploy/secrets/$name" ]; then
            problem "deploy/secrets/$name is missing: run deploy/secrets.sh."
        fi
    done
}

check_size() {
    local cpus name limit
    cpus=$(nproc)
    for name in POSTGRES_CPUS TEMPORAL_CPUS; do
        limit=$(setting "$name" 2)
        if awk -v limit="$limit" -v cpus="$cpus" 'BEGIN {exit !(limit > cpus)}'; then
            problem "$name is $limit, but this machine has $cpus CPUs: its container would not start."
        fi
    done
}

project_devices() { # devices of this project's networks, one a line
    local project=${COMPOSE_PROJECT_NAME:-$(setting COMPOSE_PROJECT_NAME "$(basename "$PWD")")} ids
    # Without an answer, which check_docker reports, all routes are those of others.
    ids=$(docker network ls --quiet --filter "label=com.docker.compose.project=$project" 2>/dev/null) || return 0
    cut -c 1-12 <<<"$ids" | sed 's/^/br-/'
}

machine_routes() { # network and device of each route, but not of a default route or its halves
    ip -4 route show | awk '
        $1 ~ /^(unicast|local|broadcast|blackhole|unreachable|prohibit|throw)$/ {$1 = ""; $0 = $0; $1 = $1}
        $1 ~ /^(default|0\.0\.0\.0\/1|128\.0\.0\.0\/1)$/ || $1 !~ /^[0-9]/ {next}
        {device = "-"; for (i = 2; i < NF; i++) if ($i == "dev") device = $(i + 1); print $1, device}'
}

check_networks() {
    local default front metrics sandbox proxy network route device name own
    default=$(setting DEFAULT_SUBNET 172.31.254.0/24)
    front=$(setting FRONT_SUBNET 172.31.255.0/24)
    metrics=$(setting METRICS_SUBNET 172.31.253.0/24)
    sandbox=$(setting SANDBOX_ADDRESS 172.31.254.2)
    proxy=$(setting PROXY_ADDRESS 172.31.255.2)
    for name in "DEFAULT_SUBNET $default" "FRONT_SUBNET $front" "METRICS_SUBNET $metrics" \
        "SANDBOX_ADDRESS $sandbox" "PROXY_ADDRESS $proxy" \
        "DEFAULT_RANGE $(setting DEFAULT_RANGE 172.31.254.128/25)" "FRONT_RANGE $(setting FRONT_RANGE 172.31.255.128/25)"; do
        is_network "${name#* }" || {
            problem "${name% *} is '${name#* }': write an IPv4 network such as 172.31.254.0/24, or an address."
            return 0
        }
    done
    if overlaps "$default" "$front" || overlaps "$default" "$metrics" || overlaps "$front" "$metrics"; then
        problem "DEFAULT_SUBNET $default, FRONT_SUBNET $front and METRICS_SUBNET $metrics overlap: change one of them."
    fi
    contains "$front" "$proxy" || problem "PROXY_ADDRESS $proxy is not in FRONT_SUBNET $front."
    contains "$default" "$sandbox" || problem "SANDBOX_ADDRESS $sandbox is not in DEFAULT_SUBNET $default."
    for name in DEFAULT_RANGE:172.31.254.128/25:$default:$sandbox FRONT_RANGE:172.31.255.128/25:$front:$proxy; do
        IFS=: read -r name route network own <<<"$name"
        route=$(setting "$name" "$route")
        overlaps "$network" "$route" || problem "$name $route is not in the network $network."
        contains "$route" "$own" && problem "$name $route contains $own, which another container could get."
    done
    own=$(project_devices)
    while read -r route device; do
        grep -qxF "$device" <<<"$own" && continue
        for name in DEFAULT_SUBNET:$default FRONT_SUBNET:$front METRICS_SUBNET:$metrics; do
            if overlaps "$route" "${name#*:}"; then
                problem "${name%%:*} ${name#*:} overlaps this machine's route to $route ($device): choose another network."
            fi
        done
    done < <(machine_routes)
    check_outbound "$sandbox" "$default" "$front" "$metrics"
}

# A webhook target or PSP address inside these networks could be any container of this project.
check_outbound() { # sandbox address, subnets
    local sandbox=$1 network networks subnet
    shift
    IFS=', ' read -r -a networks <<<"$(setting INTEGRATOR_OUTBOUND_NETWORKS "")"
    for network in "${networks[@]}"; do
        case $network in
        *:*) continue ;; # the project's networks have IPv4 addresses only
        "$sandbox" | "$sandbox/32") continue ;;
        esac
        is_network "$network" || {
            problem "INTEGRATOR_OUTBOUND_NETWORKS contains '$network': write networks such as 10.1.0.0/16, separated by commas."
            continue
        }
        for subnet in "$@"; do
            if overlaps "$network" "$subnet"; then
                problem "INTEGRATOR_OUTBOUND_NETWORKS contains $network, which includes containers of this project ($subnet): name smaller networks, of the sandbox PSP only $sandbox/32."
            fi
        done
    done
}

check_docker
check_settings
check_size
check_networks
if [ "$problems" -gt 0 ]; then
    echo "$problems problems: nothing was changed." >&2
    exit 1
fi
echo "No problem found."
