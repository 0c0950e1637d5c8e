#!/usr/bin/env bash
# Installs Lariat, static and shared, into folders that are then moved, and builds and runs the same
# small program against it in each way that is promised: pkg-config, CMake, meson subproject.
# The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
top=$PWD
consumer=$top/tests/packaging/consumer
build=$top/build/packaging
export CFLAGS='' CXXFLAGS='' LDFLAGS=''
clang=(env CC=clang-19 CXX=clang++-19)
if command -v ccache >/dev/null; then clang=(env 'CC=ccache clang-19' 'CXX=ccache clang++-19'); fi

passed=0
failed=0
check() {
    local name=$1
    shift
    printf '== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok\n'
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$name"
        return 1
    fi
}

# install_kind static|shared: installs to the prefix $build/<kind>. Its lib is named: without
# dpkg-dev meson takes lib64, where CMake on Debian does not look. It is built beside the build of
# the tests, with their options: a compiler's cache then knows every file.
install_kind() {
    local kind=$1 here=$top/build/packaging-$1
    rm -rf "$build/$kind" "$here"
    "${clang[@]}" meson setup "$here" "$top" --prefix="$build/$kind" --libdir=lib \
        -Dbuildtype=release -Dwerror=true -Ddefault_library="$kind" -Dtests=disabled \
        -Dexamples=disabled -Dperf=disabled >"$build/$kind-setup.log" ||
        { cat "$build/$kind-setup.log"; return 1; }
    ninja -C "$here" --quiet && meson install -C "$here" --quiet
}

pc_dir() { dirname "$(find "$build/$1" -name lariat.pc)"; }

with_pkg_config() {
    local kind=$1 cxx=$2 libdir flags
    libdir=$(dirname "$(pc_dir "$kind")")
    flags=$(PKG_CONFIG_PATH=$(pc_dir "$kind") pkg-config --cflags --libs lariat) || return 1
    [[ $flags == *-foptimize-sibling-calls* ]] ||
        { printf 'no -foptimize-sibling-calls in: %s\n' "$flags"; return 1; }
    # shellcheck disable=SC2086
    "$cxx" -std=c++20 -Wall -Wextra -Werror "$consumer/consumer.cpp" -o "$build/pkg-$kind-$cxx" \
        $flags -Wl,-rpath,"$libdir" && timeout 20 "$build/pkg-$kind-$cxx"
}

# As a plugin: part of something that a running program loads, which has little room then for the
# variables of a thread.
loaded_later() {
    local kind=$1 cxx=$2 libdir flags plugin=$build/plugin-$1-$2.so
    libdir=$(dirname "$(pc_dir "$kind")")
    flags=$(PKG_CONFIG_PATH=$(pc_dir "$kind") pkg-config --cflags --libs lariat) || return 1
    # shellcheck disable=SC2086
    "$cxx" -std=c++20 -fPIC -shared -Dmain=plugin_main "$consumer/consumer.cpp" -o "$plugin" \
        $flags -Wl,-rpath,"$libdir" || return 1
    timeout 20 python3 - "$plugin" <<'PROGRAM'
import ctypes, sys
sys.exit(ctypes.CDLL(sys.argv[1])._Z11plugin_mainv())
PROGRAM
}

# The installed tree is moved first: its CMake files must not know where they were made.
with_cmake() {
    local kind=$1 moved=$build/moved-$1 dir=$build/cmake-$1
    rm -rf "$moved" "$dir"
    cp -a "$build/$kind" "$moved"
    "${clang[@]}" cmake -G Ninja -S "$consumer" -B "$dir" -DCMAKE_PREFIX_PATH="$moved" \
        -DCMAKE_BUILD_TYPE=Release >"$dir.log" 2>&1 || { cat "$dir.log"; return 1; }
    grep -q "$moved" "$dir/CMakeCache.txt" || { printf 'another lariat was found\n'; return 1; }
    cmake --build "$dir" >>"$dir.log" 2>&1 || { tail -n 30 "$dir.log"; return 1; }
    LD_LIBRARY_PATH=$(dirname "$(find "$moved" -name 'liblariat.*' | head -n 1)") \
        timeout 20 "$dir/consumer"
}

refused_by_cmake() {
    local dir=$build/cmake-refused
    rm -rf "$dir"
    mkdir -p "$dir"
    sed 's/lariat 0.1/lariat 99/' "$consumer/CMakeLists.txt" >"$dir/CMakeLists.txt"
    cp "$consumer/consumer.cpp" "$dir"
    if "${clang[@]}" cmake -G Ninja -S "$dir" -B "$dir/b" -DCMAKE_PREFIX_PATH="$build/static" \
        >"$dir.log" 2>&1; then
        return 1
    fi
    grep -q 'considered but not accepted' "$dir.log"
}

# Without the parts that need other libraries, and unoptimized, for time.
as_subproject() {
    local dir=$build/subproject
    rm -rf "$dir"
    mkdir -p "$dir/subprojects"
    cp "$consumer/consumer.cpp" "$consumer/meson.build" "$dir"
    ln -s "$top" "$dir/subprojects/lariat"
    "${clang[@]}" meson setup "$dir/b" "$dir" -Dbuildtype=plain \
        -Dlariat:process=disabled -Dlariat:http=disabled -Dlariat:crypto=disabled \
        >"$dir/setup.log" || { tail -n 30 "$dir/setup.log"; return 1; }
    ninja -C "$dir/b" --quiet && timeout 20 "$dir/b/consumer"
}

# An installed static library holds all it needs but the system's libraries.
self_contained() {
    local library
    library=$(find "$build/static" -name liblariat.a)
    if ar t "$library" | grep -q '^/' || [ "$(head -c 7 "$library")" = '!<thin>' ]; then
        printf 'the installed archive only points to files of the build\n'
        return 1
    fi
    if ! nm "$library" 2>/dev/null | grep -q ' T llhttp_init$' &&
        nm "$library" 2>/dev/null | grep -q ' U llhttp_init$'; then
        printf 'the installed archive lacks llhttp\n'
        return 1
    fi
}

# The shared library shows Lariat's names, and nobody else's.
shows_only_lariat() {
    local library foreign
    library=$(find "$build/shared" -name 'liblariat.so')
    foreign=$(nm -DC --defined-only "$library" | cut -d' ' -f3- |
        grep -v 'lariat::' | grep -Ev '^_ZNK?St|(^|[ <])(std::|operator |__gnu)')
    [ -z "$foreign" ] || { printf 'exported too:\n%s\n' "$foreign" | head -n 20; return 1; }
}

mkdir -p "$build"
for kind in static shared; do
    check "install, $kind" install_kind "$kind" || continue
    if [ "$kind" = static ]; then
        check 'the static archive is self-contained' self_contained
        check 'CMake refuses a version that is not there' refused_by_cmake
    else
        check 'the shared library exports only its own' shows_only_lariat
    fi
    check "pkg-config, $kind, Clang" with_pkg_config "$kind" clang++-19
    check "pkg-config, $kind, GCC" with_pkg_config "$kind" g++-12
    check "loaded later, $kind, Clang" loaded_later "$kind" clang++-19
    check "loaded later, $kind, GCC" loaded_later "$kind" g++-12
    check "CMake, $kind" with_cmake "$kind"
done
check 'meson subproject' as_subproject
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
