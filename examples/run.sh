#!/usr/bin/env bash
# Builds Lariat and its examples, and shows them at work. On a bare Debian 12 it first installs with
# apt what is missing (root or sudo); nothing outside build/ is written.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source tests/support/house.sh

if [ -n "${LARIAT_EXAMPLES_BUILD-}" ]; then # tests/run.sh names what it has built already
    build=$LARIAT_EXAMPLES_BUILD
    make=(ninja -C "$build")
else
    build=build/examples
    make=(bash -c 'build_in "$@"' build "$build" clang++-19 clang-19 -Dbuildtype=release
        -Dtests=disabled -Dperf=enabled -Dexamples=enabled)
    printf 'Lariat: building the library and its examples with Clang 19. Logs are in %s.\n' "$logs"
    need_packages clang-19 libstdc++-12-dev meson ninja-build pkg-config liburing-dev node-llhttp \
        libcereal-dev libssl-dev socat python3
    need_commands clang++-19 meson ninja pkg-config python3
fi
run_logged 'building the examples' 1200 "${make[@]}" ||
    { show_tail; stop "The build failed; $log has all of it."; }
exec bash examples/demo.sh "$build/examples" "$build/perf/load/echo_load"
