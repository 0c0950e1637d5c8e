#!/usr/bin/env bash
# Measures echo servers side by side: the floors, Asio, and Lariat on both drivers. A server has
# core 0, the load generator core 1; every round runs each server once before the next round begins,
# so that what the machine does meanwhile falls on all of them. Prints a Markdown table.
set -euo pipefail

usage='perf/run.sh [--quick] [--cells "p1-50 churn"] [--servers "floor_epoll lariat_uring"]
            [--rounds 5] [--duration 2] [--build DIR] [--out FILE] [--micro] [--process]
  --quick   2 rounds of 1 s, the cells p1-50, p16-50 and churn
  --micro   also run the micro benchmarks, on each driver
  --process only what processes do, beside the same in Python: --rounds, --build and --out apply
  --out     keep every single result, a JSON object a line
Cells: '

here=$(cd "$(dirname "$0")" && pwd)
build=$here/../build-perf
rounds=5
duration=2
chosen_servers=
chosen_cells=
out=
micro=
process=

declare -A cells=(
    [p1-50]="--connections 50 --size 64"
    [p1-500]="--connections 500 --size 64"
    [p1-50-1k]="--connections 50 --size 1024"
    [p1-500-1k]="--connections 500 --size 1024"
    [p16-50]="--connections 50 --size 64 --pipeline 16"
    [p16-500]="--connections 500 --size 64 --pipeline 16"
    [p16-50-1k]="--connections 50 --size 1024 --pipeline 16"
    [16k-p1]="--connections 50 --size 16384"
    [16k-p16]="--connections 50 --size 16384 --pipeline 16"
    [churn]="--mode churn --connections 50"
    [idle]="--mode idle --connections 5000 --duration 0.1"
    [one]="--connections 1 --size 64"
)
cell_order=(p1-50 p1-500 p1-50-1k p1-500-1k p16-50 p16-500 p16-50-1k 16k-p1 16k-p16 churn idle one)
server_order=(floor_epoll floor_uring rival_asio lariat_epoll lariat_uring)

while (($#)); do
    case $1 in
        --quick) rounds=2 duration=1 chosen_cells=${chosen_cells:-p1-50 p16-50 churn} ;;
        --micro) micro=yes ;;
        --process) process=yes ;;
        --cells) chosen_cells=$2; shift ;;
        --servers) chosen_servers=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        --duration) duration=$2; shift ;;
        --build) build=$2; shift ;;
        --out) out=$2; shift ;;
        *) echo "$usage${cell_order[*]}" >&2; exit 2 ;;
    esac
    shift
done
read -ra cell_list <<<"${chosen_cells:-${cell_order[*]}}"
read -ra server_list <<<"${chosen_servers:-${server_order[*]}}"
for cell in "${cell_list[@]}"; do
    [[ -v cells[$cell] ]] && continue
    echo "no such cell: $cell; there are: ${cell_order[*]}" >&2
    exit 2
done

if [[ ! -e $build/build.ninja ]]; then
    CC=${CC:-clang-19} CXX=${CXX:-clang++-19} \
        meson setup "$build" "$here/.." -Dbuildtype=release -Dperf=enabled >&2
fi
ninja -C "$build" build.ninja >/dev/null
programs=$(ninja -C "$build" -t targets all |
    sed -n 's/^\(perf\/[a-z_/]*\|examples\/echo_server\): .*_LINKER.*/\1/p')
# shellcheck disable=SC2086  # one word a program
ninja -C "$build" $programs >&2

if [[ -n $process ]]; then
    python3 "$here/process/side_by_side.py" "$build/perf/micro/micro_bench" --rounds "$rounds" \
        ${out:+--out "$out"}
    exit
fi

# The command of a server, as an array in `command`; fails if it was not built.
command_of() {
    case $1 in
        floor_epoll | floor_uring) command=("$build/perf/floor/$1") ;;
        rival_asio) command=("$build/perf/floor/rival_asio_echo") ;;
        lariat_epoll | lariat_uring)
            command=(env "LARIAT_BACKEND=${1#lariat_}" "$build/examples/echo_server")
            [[ -x ${command[2]} ]] && return 0 || return 1 ;;
        *) echo "no such server: $1; there are: ${server_order[*]}" >&2; exit 2 ;;
    esac
    [[ -x ${command[0]} ]]
}

server_pid=
trap '[[ -z $server_pid ]] || kill "$server_pid" 2>/dev/null' EXIT

# Waits until the port answers: up to 5 s.
await_port() {
    for _ in {1..250}; do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.02
    done
    echo "the server did not start: ${command[*]}" >&2
    return 1
}

port=$((20000 + RANDOM % 8000))
measure() {
    local server=$1 cell=$2 options
    command_of "$server" || return 0
    port=$((port + 1))
    taskset -c 0 "${command[@]}" "$port" >/dev/null &
    server_pid=$!
    await_port "$port"
    read -ra options <<<"--duration $duration ${cells[$cell]}"
    timeout 120 "$build/perf/load/echo_load" --port "$port" --server-pid "$server_pid" --pin 1 \
        --label "$cell $server" --json - "${options[@]}" >>"$results"
    kill "$server_pid"
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

results=${out:-$(mktemp)}
: >"$results"
for cell in "${cell_list[@]}"; do
    for ((round = 0; round < rounds; ++round)); do
        for server in "${server_list[@]}"; do measure "$server" "$cell"; done
    done
done
python3 "$here/table.py" "$results"
[[ -n $out ]] || rm -f "$results"

if [[ -n $micro ]]; then
    for backend in epoll uring; do
        printf '\nmicro benchmarks on %s\n\n' "$backend"
        LARIAT_BACKEND=$backend "$build/perf/micro/micro_bench" --pin 0
    done
fi
