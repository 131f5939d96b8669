#!/bin/bash
# Replaces the running version of the integrator by another one without an outage.
#
#   deploy/upgrade.sh VERSION       to the image payment-integrator:VERSION
#   deploy/upgrade.sh --rollback    back to the version before; also gives up an unfinished upgrade
#
# Needs bash, docker with compose 2.24 or newer, and the stack of docker-compose.yml running. Every step
# looks at what is there: interrupted anywhere and started again with the same argument, it finishes.
# Until then both versions can work. `.upgrade` beside `.env` records the two versions.
#
#   UPGRADE_RAMP="10 50"        percentages of the transactions that go to the new workers first
#   UPGRADE_RAMP_SECONDS=10     how long each of them, and the promotion, is observed
#   UPGRADE_TIMEOUT=180         seconds after which a container that is not ready stops the upgrade
#   UPGRADE_SKIP_DOCTOR=        1: begin although `integrator doctor` reports a problem
#
# docs/deployment.md describes the steps, docs/runbook.md what to do when one of them stops.
set -euo pipefail
# A failure inside $(...) is one of the script.
shopt -s inherit_errexit
exec 9<"${BASH_SOURCE[0]}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ramp=${UPGRADE_RAMP-10 50}
ramp_seconds=${UPGRADE_RAMP_SECONDS:-10}
timeout=${UPGRADE_TIMEOUT:-180}
record=.upgrade
step=1

say() { echo "$(date -u +%H:%M:%S) $*"; }
begin() { # step, what
    step=$1
    say "step $1: $2"
}
explain() { # what failed, remedy
    printf '%s\n' "upgrade.sh stopped in step $step: $1" "$2" >&2
}
fail() { # what failed, remedy
    explain "$@"
    exit "$explained"
}
explained=99
trap 'code=$?
case $code in
0 | 2) exit "$code" ;;
"$explained") ;;
*) explain "a command ended with $code" "Read what it printed above, and run upgrade.sh again." ;;
esac
exit 1' EXIT

# --- Settings and record ---------------------------------------------------------------------------

# shellcheck source=deploy/settings.sh
. deploy/settings.sh

recorded() { # name: its value in the record, empty if there is none
    if [ -e "$record" ]; then sed -n "s/^$1=//p" "$record"; fi
}

replace() { # file: by the standard input, whole or not at all
    local new
    new=$(mktemp "$1.XXXXXX")
    if [ -e "$1" ]; then cp -p "$1" "$new"; fi
    cat >"$new"
    sync "$new"
    mv -f "$new" "$1"
}

write_record() { # finished
    printf '%s\n' "kind=$kind" "from=$from" "to=$to" "finished=$1" | replace "$record"
}

# The version that a plain `docker compose up` starts.
set_version() { # version
    if [ "$(setting INTEGRATOR_VERSION latest)" != "$1" ]; then
        # awk ends every line, also a last one without a newline.
        { awk '!/^INTEGRATOR_VERSION=/' .env && echo "INTEGRATOR_VERSION=$1"; } | replace .env
    fi
}

# --- Containers ------------------------------------------------------------------------------------

docker() { # without the lock, which a child of a killed script would keep
    command docker "$@" 9<&-
}

compose() { # version, arguments
    INTEGRATOR_VERSION=$1 docker compose --progress quiet "${@:2}" </dev/null
}

# Existing containers stay as they are. Not --no-deps: it would change the hash by which the next
# `docker compose up` recognises the container, and with `migrate` it would recreate the proxy.
start() { # version, service, options
    compose "$1" up --detach --no-recreate --no-build --pull never "${@:3}" "$2" ||
        fail "docker compose did not start $2 of version $1" "Correct what it reports and run upgrade.sh again."
}

restart() { # version, service: instead of its present container
    compose "$1" rm --stop --force "$2" >/dev/null
    start "$1" "$2"
}

containers() { # service: lines `id version running`, of any other image with its name as version
    local ids
    ids=$(docker compose ps --all --quiet "$1" </dev/null)
    if [ -z "$ids" ]; then return 0; fi
    # shellcheck disable=SC2086 # one argument for each id
    docker inspect --format '{{.Id}} {{.Config.Image}} {{.State.Running}}' $ids |
        sed "s|^\([^ ]*\) $repository:|\1 |"
}

of_version() { # service, version, [true: running ones]: ids
    containers "$1" | while read -r id version running; do
        if [ "$version" = "$2" ] && [ "${3:-$running}" = "$running" ]; then echo "$id"; fi
    done
}

lines() { # text: its number of lines
    if [ -z "$1" ]; then echo 0; else wc -l <<<"$1"; fi
}

count() { # service, [version: its running containers]
    local found
    if [ $# = 1 ]; then found=$(containers "$1"); else found=$(of_version "$1" "$2" true); fi
    lines "$found"
}

one() { # service, version, [true: a running one]: the id of a container, empty if there is none
    local ids
    ids=$(of_version "$@")
    head -1 <<<"$ids"
}

is_ready() { # id, service
    docker exec "$1" python -m integrator.healthcheck "$2" --ready >/dev/null 2>&1
}

wait_ready() { # service, version, number
    local deadline=$((SECONDS + timeout)) ids id ready
    while true; do
        ready=0
        ids=$(of_version "$1" "$2" true)
        for id in $ids; do
            if is_ready "$id" "$1"; then ready=$((ready + 1)); fi
        done
        if [ "$ready" -ge "$3" ]; then return 0; fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            fail "$ready of $3 containers of $1, version $2, are ready after $timeout s" \
                "Read \`docker compose logs $1\`. Then run upgrade.sh again, or upgrade.sh --rollback."
        fi
        sleep 1
    done
}

add() { # service, version, number: so many ready containers of the version, beside the others
    local running all
    running=$(count "$1" "$2")
    if [ "$running" -lt "$3" ]; then
        all=$(count "$1")
        start "$2" "$1" --scale "$1=$((all + $3 - running))"
    fi
    wait_ready "$1" "$2" "$3"
}

remove() { # service, ids: at once, each within its stop_grace_period
    local service=$1
    shift
    if [ $# -gt 0 ]; then
        docker stop "$@" >/dev/null
        docker rm "$@" >/dev/null
        say "removed $# of $service"
    fi
}

# --- Steps -----------------------------------------------------------------------------------------

require_docker() {
    docker compose version >/dev/null 2>&1 ||
        fail "docker compose does not run" "Install Docker with its compose plugin, or use a user that may call it."
    [ -e .env ] || fail "there is no .env" "See deploy/.env.example."
    [ -z "${INTEGRATOR_VERSION:-}" ] ||
        fail "INTEGRATOR_VERSION is set in the environment" "unset INTEGRATOR_VERSION: it overrides .env."
    repository=$(compose probe config --images api | sed -n 's/:probe$//p')
    [ -n "$repository" ] ||
        fail "the image of the service api has no version INTEGRATOR_VERSION" "Use the project's docker-compose.yml."
}

require_lock() {
    if command -v flock >/dev/null && ! flock --wait 60 9; then
        fail "another upgrade.sh is running" "Wait for its end."
    fi
}

require_services() {
    local service state
    for service in postgres temporal proxy api worker; do
        state=$(docker compose ps --all --format '{{.State}} {{.Health}}' "$service" </dev/null)
        grep -qx "running healthy" <<<"$state" ||
            fail "no container of $service is healthy (${state:-it does not exist})" \
                "docker compose up --detach --wait; then run upgrade.sh again."
    done
}

require_versions() { # only the two versions may exist
    local service version all
    for service in api worker; do
        all=$(containers "$service")
        while read -r _ version _; do
            case $version in
            "$from" | "$to" | "") ;;
            *) fail "a container of $service has version $version, neither $from nor $to" \
                "Remove it, or run \`docker compose up --detach\` for the version in .env." ;;
            esac
        done <<<"$all"
    done
}

require_image() {
    docker image inspect "$repository:$to" >/dev/null 2>&1 ||
        fail "there is no image $repository:$to" \
            "docker pull it, or build it: INTEGRATOR_VERSION=$to docker compose build api"
}

require_fixed_image() { # a rollback starts the same code again
    local id running tagged
    id=$(one worker "$from" true)
    running=$(docker inspect --format '{{.Image}}' "$id")
    tagged=$(docker image inspect --format '{{.Id}}' "$repository:$from")
    [ "$running" = "$tagged" ] ||
        fail "$repository:$from is no longer the image that runs, a rollback would start other code" \
            "Give each build a version of its own. For this one: docker tag $running $repository:$from"
}

running_version() { # of all containers of api and worker; fails if there are several
    local versions
    versions=$({ containers api && containers worker; } | cut -d ' ' -f 2 | sort -u)
    case $versions in
    *$'\n'*) fail "containers of several versions exist: ${versions//$'\n'/, }" \
        "docker compose up --detach starts the version in .env alone; it is an outage of seconds." ;;
    "") fail "neither api nor worker runs" "docker compose up --detach --wait" ;;
    esac
    echo "$versions"
}

require_current() { # the running workers get the tasks, and nothing is wrong before the upgrade
    local worker api build current
    worker=$(one worker "$from" true)
    api=$(one api "$from" true)
    build=$(docker exec "$worker" integrator worker build-id)
    current=$(docker exec "$worker" integrator worker current)
    [ "$build" = "$current" ] ||
        fail "Temporal gives the tasks to '$current', the running workers are $build" \
            "docker compose exec worker integrator worker promote $build"
    if [ "${UPGRADE_SKIP_DOCTOR:-}" != 1 ]; then
        docker exec "$api" integrator doctor ||
            fail "integrator doctor reports a problem" "Solve it, or begin with UPGRADE_SKIP_DOCTOR=1."
    fi
}

migration_code() { # exit code of the migration's container when it has ended, empty without one
    local id
    id=$(docker compose ps --all --quiet migrate </dev/null)
    if [ -n "$id" ]; then command timeout "$timeout" docker wait "$id" 9<&-; fi
}

migrate() {
    local id code
    code=$(migration_code) || # of an interrupted run
        fail "a migration has not ended after $timeout s" "Read \`docker compose logs migrate\`, and run upgrade.sh again."
    restart "$to" migrate
    code=$(migration_code) ||
        fail "the migration has not ended after $timeout s" "Version $from works on. Read \`docker compose logs migrate\`, and run upgrade.sh again."
    id=$(docker compose ps --all --quiet migrate </dev/null)
    if [ "$code" != 0 ]; then
        docker logs --tail 20 "$id" >&2
        fail "the migration ended with $code" "Version $from works on. Correct what it reports and run upgrade.sh again."
    fi
}

worker_command() { # arguments: in a worker of the version that the tasks go to
    local worker
    worker=$(one worker "$to" true)
    docker exec "$worker" integrator worker "$@"
}

# A busy server may take longer than its client waits.
route() { # arguments of `integrator worker`, which may be repeated
    local attempt
    for attempt in 1 2 3; do
        if worker_command "$@"; then return 0; fi
        say "attempt $attempt of 3 failed"
        sleep 2
    done
    return 1
}

failed_tasks() { # how many workflow tasks have failed in the new workers since their start
    local ids id failed sum=0
    ids=$(of_version worker "$to" true)
    for id in $ids; do
        failed=$(docker exec "$id" integrator worker failed-tasks)
        sum=$((sum + failed))
    done
    echo "$sum"
}

# Only what fails meanwhile counts: run again, the script is not stopped by an earlier failure.
observe() { # how long, what: no workflow task of the new workers fails
    local before after
    before=$(failed_tasks)
    sleep "$1"
    after=$(failed_tasks)
    [ "$after" -le "$before" ] ||
        fail "$((after - before)) workflow tasks of version $to failed ($2)" \
            "Read the reason in \`docker compose logs worker\` and in the Temporal UI. deploy/upgrade.sh --rollback goes back; run again, upgrade.sh goes on."
}

shift_work() {
    local build current share
    build=$(worker_command build-id)
    current=$(worker_command current)
    if [ "$current" != "$build" ]; then
        for share in $ramp; do
            route ramp "$build" "$share" ||
                fail "the ramp to $share % was refused" "Run upgrade.sh again, or upgrade.sh --rollback."
            observe "$ramp_seconds" "with $share % of the transactions"
        done
    fi
    promote
    observe "$ramp_seconds" "with all transactions"
}

promote() {
    local build
    build=$(worker_command build-id)
    # Before the promotion: from then on `docker compose up` has to keep the workers that work.
    set_version "$to"
    route promote "$build" ||
        fail "the promotion was refused" "Run upgrade.sh again, or upgrade.sh --rollback."
}

# One more than usual, so that all of them may be busy while one drains.
replace_api() {
    local replicas new old all
    replicas=$(setting API_REPLICAS 2)
    while true; do
        new=$(count api "$to")
        old=$(one api "$from")
        all=$(count api)
        if [ -n "$old" ] && [ "$all" -gt "$replicas" ]; then
            wait_ready api "$to" "$new"
            remove api "$old"
        elif [ "$new" -lt "$replicas" ]; then
            add api "$to" $((new + 1))
        elif [ -n "$old" ]; then
            remove api "$old"
        else
            break
        fi
    done
    # Left by an interruption between creation and start.
    remove_all api "$to" false
}

remove_all() { # service, version, [true: running ones]
    local ids
    ids=$(of_version "$@")
    # shellcheck disable=SC2086 # one argument for each id
    remove "$1" $ids
}

replace_others() {
    local service image all
    set_version "$to"
    all=$(docker compose ps --all --format '{{.Service}} {{.Image}}' </dev/null)
    while read -r service image; do
        case $image in "$repository:$from" | "$repository-devtools:$from") ;; *) continue ;; esac
        image=${image%:*}:$to
        if docker image inspect "$image" >/dev/null 2>&1; then
            restart "$to" "$service"
            say "replaced $service"
        else
            say "warning: $service stays at version $from, there is no image $image"
        fi
    done <<<"$all"
}

prune() {
    worker_command prune ||
        say "warning: not every drained version was deleted; see docs/runbook.md"
}

# --- Upgrade and rollback --------------------------------------------------------------------------

remove_old() {
    begin 6 "stop the workers of $from"
    remove_all worker "$from"
    # Left by an interruption between creation and start.
    remove_all worker "$to" false
    begin 7 "replace the other services and delete drained versions"
    replace_others
    prune
    write_record yes
    say "finished: version $to runs"
}

upgrade() {
    kind=upgrade
    to=$1
    if [ -n "$(recorded to)" ] && [ "$(recorded finished)" != yes ]; then
        case "$(recorded kind) $to" in
        "upgrade $(recorded to)") from=$(recorded from) ;;
        "rollback $(recorded from)") from=$(recorded to) ;; # given up, back to the newer version
        *)
            fail "the $(recorded kind) from $(recorded from) to $(recorded to) is unfinished" \
                "Finish it by the same call, or go back: deploy/upgrade.sh --rollback"
            ;;
        esac
        begin 1 "continue the upgrade from $from to $to"
        write_record no
        require_image
        require_versions
    else
        from=$(running_version)
        begin 1 "check, for an upgrade from $from to $to"
        if [ "$from" = "$to" ]; then
            set_version "$to"
            say "version $to runs already"
            return 0
        fi
        require_image
        require_services
        require_fixed_image
        require_current
        write_record no
    fi
    begin 2 "migrate the database"
    migrate
    begin 3 "start workers of $to beside those of $from"
    add worker "$to" "$(setting WORKER_REPLICAS 2)"
    begin 4 "move the transactions to them"
    shift_work
    begin 5 "replace the API, one after the other"
    replace_api
    remove_old
}

# The API first: a newer API may ask for what older workers do not have. The database stays as it is.
rollback() {
    case "$(recorded kind) $(recorded finished)" in
    " ") fail "no upgrade is recorded in $record" "deploy/upgrade.sh VERSION changes to any version." ;;
    "rollback yes")
        say "version $(recorded to) runs already, rolled back from $(recorded from)"
        return 0
        ;;
    "rollback "*)
        from=$(recorded from)
        to=$(recorded to)
        ;;
    *)
        from=$(recorded to)
        to=$(recorded from)
        ;;
    esac
    kind=rollback
    begin 1 "check, for a rollback from $from to $to"
    require_image
    require_versions
    write_record no
    begin 3 "start workers of $to beside those of $from"
    add worker "$to" "$(setting WORKER_REPLICAS 2)"
    begin 5 "replace the API, one after the other"
    replace_api
    begin 4 "move the transactions to the workers of $to"
    promote
    remove_old
}

case ${1:-} in
--rollback) [ $# = 1 ] ;;
"" | -*) false ;;
*) [ $# = 1 ] && [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] ;;
esac || {
    sed -n "2,/^set/s/^# \\{0,1\\}//p" deploy/upgrade.sh
    exit 2
}
require_docker
require_lock
if [ "$1" = --rollback ]; then rollback; else upgrade "$1"; fi
