#!/usr/bin/env bash
# Lariat beside its rivals, on a bare Debian 12: installs what is missing with apt (root or sudo),
# builds Lariat, the floors and the rivals, measures all of them interleaved and pinned, and writes
# perf/results/<date>/: raw records, tables, plots. What cannot be installed or built is left out,
# and said. The options are those of perf/compare/run.py: see --help.
#   --no-install   take what is there
#   --build DIR    where Lariat is built (build-perf)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

build='build-perf'
install=yes
here=
given=
(($# == 0)) || given=$(printf ' %q' "$@")
measured=()
while (($#)); do
    case $1 in
        --no-install) install= ;;
        --build) build=${2-}; shift ;;
        --build=*) build=${1#*=} ;;
        -h | --help | --list | --again | --again=*) here=$1; measured+=("$1") ;;
        *) measured+=("$1") ;;
    esac
    shift
done
[[ -n $build ]] || { echo '--build: a directory is needed' >&2; exit 2; }

# Debian's Python has Debian's modules: matplotlib, uvloop, gevent. Rivals get the same.
export PATH=/usr/bin:$PATH
python=(env PYTHONDONTWRITEBYTECODE=1 python3 perf/compare/run.py --build "$build")
if [[ -n $here ]]; then exec "${python[@]}" "${measured[@]}"; fi

source tests/support/house.sh
packages_of_rivals=$("${python[@]}" --packages "${measured[@]}") || exit
if [[ -n $install ]]; then
    need_packages clang-19 libstdc++-12-dev meson ninja-build pkg-config liburing-dev libasio-dev \
        node-llhttp libcereal-dev libssl-dev python3 util-linux git
    (need_packages python3-matplotlib) || echo 'python3-matplotlib is not to be had: tables only'
    while read -r name packages; do
        read -ra packages <<<"${packages-}"
        ((${#packages[@]})) || continue
        (need_packages "${packages[@]}") || echo "$name will be left out"
    done <<<"$packages_of_rivals"
fi
need_commands clang++-19 meson ninja pkg-config python3 taskset setpriv

build_lariat() {
    local programs
    set_up "$build" clang++-19 clang-19 -Dbuildtype=release -Dtests=disabled -Dperf=enabled \
        -Dexamples=enabled || return
    ninja -C "$build" build.ninja || return
    programs=$(ninja -C "$build" -t targets all |
        sed -n 's/^\(perf\/[a-z_/]*\|examples\/echo_server\): .*_LINKER.*/\1/p')
    # shellcheck disable=SC2086  # one word a program
    ninja -C "$build" $programs
}
export -f build_lariat
export build
run_logged 'building Lariat, release' 3600 bash -c build_lariat ||
    { show_tail 40; stop "The build failed; $log has all of it."; }

LARIAT_COMPARE_COMMAND="bash perf/compare.sh$given" \
    exec "${python[@]}" "${measured[@]}"
