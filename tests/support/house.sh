# What examples/run.sh and tests/run.sh share: packages, steps with their times, the count.
# Sourced by bash from the repository's root.

passed=0
failed=0
skipped=0
started=$SECONDS
logs=build/logs
mkdir -p "$logs"

stop() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Installs what is missing of the named Debian packages; needs root or sudo only if something is.
need_packages() {
    local missing=() package as_root=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        printf 'No apt here: taking the tools as they are found. Debian 12 names them: %s\n' "$*"
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || stop "These packages are missing: ${missing[*]}." \
            "Run this as root, or install sudo, or install them yourself."
        as_root=(sudo)
    fi
    printf 'Installing with apt: %s\n' "${missing[*]}"
    "${as_root[@]}" apt-get update >"$logs/apt.log" 2>&1 ||
        { tail -n 5 "$logs/apt.log" >&2; stop "apt-get update failed; see $logs/apt.log."; }
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "${missing[@]}" >>"$logs/apt.log" 2>&1 ||
        { tail -n 5 "$logs/apt.log" >&2; stop "apt-get install failed; see $logs/apt.log."; }
}

need_commands() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null || stop "The command $name is missing: nothing can be built."
    done
}

# with_ccache COMPILER: the compiler, behind ccache where there is one. Where the tree lies does not
# count: what was compiled in one checkout serves the next.
export CCACHE_NOHASHDIR=1
with_ccache() {
    if command -v ccache >/dev/null; then printf 'ccache %s' "$1"; else printf '%s' "$1"; fi
}

# run_logged NAME SECONDS COMMAND...: one line on the screen, the rest in a log; $log names it.
run_logged() {
    local name=$1 limit=$2 begun=$SECONDS code=0
    shift 2
    log=$logs/$(printf '%s' "$name" | tr -c 'a-z0-9\n' '-').log
    printf '%-34s' "$name"
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || code=$?
    case $code in
        0) printf 'ok' ;;
        124 | 137) printf 'OVER %s s' "$limit" ;;
        *) printf 'FAILED' ;;
    esac
    printf '   %d s (%d:%02d since the start)\n' $((SECONDS - begun)) \
        $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
    return "$code"
}

show_tail() {
    printf '%s\n' "---- the end of $log"
    tail -n "${1:-40}" "$log"
    printf '%s\n' '----'
}

# count_step CODE: adds the last step. A log ending in "N passed, N failed" is counted as it says,
# any other step as one.
count_step() {
    local code=$1 last
    last=$(grep -av '^[[:space:]]*$' "$log" | tail -n 1)
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        if [ "$code" -ne 0 ] && [ "${BASH_REMATCH[2]}" -eq 0 ]; then failed=$((failed + 1)); fi
    elif [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

# step NAME SECONDS COMMAND...: a step that counts for itself.
step() {
    local code=0
    run_logged "$@" || code=$?
    count_step "$code"
    if [ "$code" -ne 0 ]; then show_tail; fi
    return "$code"
}

# set_up DIRECTORY C++-COMPILER C-COMPILER OPTION...: a build directory with these options; one that
# was made with others, or by another meson, is made anew.
set_up() {
    local dir=$1 cxx=$2 cc=$3 wanted
    shift 3
    wanted="$cxx $cc $* $(meson --version)"
    if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.options" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    rm -rf "$dir"
    mkdir -p "$dir"
    CC=$(with_ccache "$cc") CXX=$(with_ccache "$cxx") CFLAGS='' CXXFLAGS='' LDFLAGS='' \
        meson setup "$dir" "$@" || return 1
    printf '%s\n' "$wanted" >"$dir/.options"
}

# build_in DIRECTORY C++-COMPILER C-COMPILER OPTION...: sets up and builds.
build_in() {
    set_up "$@" && ninja -C "$1"
}
export -f build_in set_up with_ccache
