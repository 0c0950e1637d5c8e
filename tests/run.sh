#!/usr/bin/env bash
# Builds Lariat with Clang 19 and GCC 12, and runs every test on io_uring and on epoll, under the
# sanitizers too. It installs what is missing with apt (root or sudo), and goes on after a failure.
# The last line is "N passed, N failed".
#
#   bash tests/run.sh                 everything: 80 minutes on two slow cores, less by a warm cache
#   bash tests/run.sh --quick         the first cell: Clang, release
#   bash tests/run.sh --cell NAME     one of: clang gcc gcc-debug asan tsan tidy packaging examples
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

usage() { sed -n '2,8s/^# \{0,1\}//p' tests/run.sh; }

all_cells=(clang gcc gcc-debug asan tsan tidy packaging examples)
cells=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) cells+=(clang) ;;
        --cell)
            [[ " ${all_cells[*]} " == *" ${2-} "* ]] || { usage; exit 2; }
            cells+=("$2")
            shift
            ;;
        --help | -h) usage; exit 0 ;;
        *) usage; exit 2 ;;
    esac
    shift
done
[ ${#cells[@]} -gt 0 ] || cells=("${all_cells[@]}")

source tests/support/house.sh

packages=(clang-19 libclang-rt-19-dev clang-tidy-19 clang-format-19 g++-12 meson ninja-build
    pkg-config cmake ccache python3 liburing-dev libasio-dev doctest-dev node-llhttp
    libcereal-dev libssl-dev socat netcat-openbsd valgrind)

# Unoptimized, and with lines alone to debug by: instrumented code takes more than twice as long to
# optimize as to run (a coroutine test: 8.6 s to compile at -O1, 3.4 s so).
# What io_uring's refusal changes is tried without them.
for_sanitizers=(-Dbuildtype=debug -Ddebug=false -Dcpp_args=-gline-tables-only -Dperf=disabled
    -Dexamples=disabled -Db_lundef=false)

# describe CELL: how it is built, in `how` (compilers, options) and `areas` (whose tests are built;
# none: all there is to build). Fails for a cell that builds nothing by itself.
#   gcc-debug  GCC turns no symmetric transfer into a tail call by itself below -O2: it keeps us
#              honest, with the areas whose chains of awaits can be long.
#   asan       Without the check of vptr, which opens a pipe to look at an object: in a test without
#              descriptors it takes every exception for a broken one.
#   tsan       It does not see what the kernel writes into a ring, so it runs on epoll, and the
#              areas that have threads.
describe() {
    local clang=(clang++-19 clang-19) gcc=(g++-12 gcc-12)
    areas=()
    case $1 in
        clang) how=("${clang[@]}" -Dbuildtype=release) ;;
        gcc) how=("${gcc[@]}" -Dbuildtype=release -Dperf=disabled) ;;
        gcc-debug)
            how=("${gcc[@]}" -Dbuildtype=debug -Dperf=disabled -Dexamples=disabled)
            areas=(task loop sync)
            ;;
        asan)
            how=("${clang[@]}" "${for_sanitizers[@]}" "-Db_sanitize=address,undefined"
                '-Dcpp_args=-gline-tables-only -fno-sanitize=vptr')
            ;;
        tsan)
            how=("${clang[@]}" "${for_sanitizers[@]}" -Db_sanitize=thread)
            areas=(loop offload cores shared net process)
            ;;
        *) return 1 ;;
    esac
    how=("build/$1" "${how[@]}" -Dwerror=true -Dtests=enabled)
}

build_cell() {
    stop_work_ahead
    describe "$1"
    step "$1: build" 1800 bash -c 'set_up "${@:2}" && ninja -C "$2" $1' build \
        "${areas[*]/%/_tests}" "${how[@]}"
}

# Tests wait more than they compute, so half the machine is idle while they run. What comes next is
# done meanwhile, as what the scheduler takes last (in a session of its own, which has a nice value
# of its own where sessions are groups: sched(7)): the next cell is built, and clang-tidy looks at
# what it does not know yet. Their own steps go on where this has come to.
ahead=''
work_ahead() {
    local next=${cells[at + 1]:-} commands=()
    if describe "$next" && set_up "${how[@]}" >"$logs/ahead.log" 2>&1; then
        commands+=("ninja -C ${how[0]} ${areas[*]/%/_tests}")
    fi
    if [[ " ${cells[*]:at + 1} " == *' tidy '* && -f build/clang/build.ninja ]]; then
        commands+=('python3 tests/tidy/clang_tidy.py build/clang')
    fi
    [ ${#commands[@]} -gt 0 ] || return 0
    setsid bash -c 'printf 19 >/proc/self/autogroup; renice -n 19 $$; for each; do $each; done' \
        ahead "${commands[@]}" >>"$logs/ahead.log" 2>&1 </dev/null &
    ahead=$!
}
stop_work_ahead() {
    [ -n "$ahead" ] || return 0
    kill -TERM -- "-$ahead" 2>/dev/null || kill -TERM "$ahead" 2>/dev/null
    wait "$ahead" 2>/dev/null
    ahead=''
}
trap stop_work_ahead EXIT

# test_cell NAME OPTION-OF-MESON-TEST...: counted test case by test case.
test_cell() {
    local name=$1 code=0 here counted
    shift
    rm -f "build/$name/meson-logs/testlog.json"
    work_ahead
    run_logged "$name: tests" 1800 meson test -C "build/$name" --no-rebuild "$@" || code=$?
    here=build/$name/meson-logs/testlog.json
    counted=$logs/$name-count.log
    if [ ! -s "$here" ]; then
        printf '%s: no test ran\n' "$name"
        failed=$((failed + 1))
        show_tail 15
        return
    fi
    python3 tests/support/tally.py "$here" >"$counted" 2>&1
    skipped=$((skipped + $(grep -c '^skipped:' "$counted")))
    sed 's/^/    /' "$counted"
    log=$counted
    count_step "$code"
}

cell_clang() {
    build_cell clang && LARIAT_TEST_LONG=1 test_cell clang --timeout-multiplier 10
}

cell_gcc() { build_cell gcc && test_cell gcc; }

cell_gcc_debug() {
    build_cell gcc-debug && test_cell gcc-debug "${areas[@]/#/--suite=}"
}

cell_asan() {
    build_cell asan &&
        ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0 \
            UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
            test_cell asan --timeout-multiplier 4 --no-suite refused
}

cell_tsan() {
    build_cell tsan &&
        LARIAT_BACKEND=epoll TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
            test_cell tsan "${areas[@]/#/--suite=}" --timeout-multiplier 4 --no-suite uring \
            --no-suite refused
}

cell_tidy() {
    stop_work_ahead
    step "tidy: its own test" 120 python3 tests/tidy/selftest.py
    step "tidy: house rules" 600 python3 tests/tidy/tidy.py
    step "tidy: set up for clang-tidy" 300 bash -c 'set_up "$@"' set_up build/clang clang++-19 \
        clang-19 -Dbuildtype=release -Dwerror=true -Dtests=enabled &&
        step "tidy: clang-tidy" 1500 python3 tests/tidy/clang_tidy.py build/clang
}

cell_packaging() { step "packaging" 900 bash tests/packaging/run.sh; }

cell_examples() {
    local built=''
    if [ -f build/clang/build.ninja ]; then built=build/clang; fi
    LARIAT_EXAMPLES_BUILD=$built step "examples" 600 bash examples/run.sh
}

printf 'Lariat: builds and tests: %s. Logs are in %s.\n' "${cells[*]}" "$logs"
need_packages "${packages[@]}"
need_commands clang++-19 g++-12 meson ninja pkg-config python3
for ((at = 0; at < ${#cells[@]}; ++at)); do
    "cell_${cells[at]//-/_}"
done

if [ "$skipped" -gt 0 ]; then printf '%d skipped, for the reasons above\n' "$skipped"; fi
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
