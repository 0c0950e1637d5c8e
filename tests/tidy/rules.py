"""What tests/tidy enforces, as data. Paths are relative to the repository's root; a folder stands
for everything under it, and where several match, the longest does."""

# A unit is a folder's public face and its private one.
UNITS = {
    # unit: (public folders or headers, private folders)
    "base": (["runtime/include/lariat/base"], ["runtime/src/base"]),
    "context": (["runtime/include/lariat/context"], ["runtime/src/context"]),
    "task": (["runtime/include/lariat/task"], ["runtime/src/task"]),
    "driver": (["runtime/include/lariat/driver"], ["runtime/src/driver"]),
    "loop": (["runtime/include/lariat/loop"], ["runtime/src/loop"]),
    "offload": (["runtime/include/lariat/offload"], ["runtime/src/offload"]),
    "green": (["runtime/include/lariat/green"], ["runtime/src/green"]),
    "cores": (["runtime/include/lariat/cores"], ["runtime/src/cores"]),
    "sync": (["sync/include/lariat/sync"], ["sync/src"]),
    "sync/shared": (["sync/include/lariat/sync/shared"], ["sync/src/shared"]),
    "net": (["net/include/lariat/net"], ["net/src"]),
    "net/http": (["net/include/lariat/net/http"], ["net/src/http"]),
    "net/tls": (["net/include/lariat/net/tls", "net/include/lariat/net/tls.hpp"], ["net/src/tls"]),
    "net/asio": (["net/include/lariat/net/asio", "net/include/lariat/net/asio.hpp"], []),
    "process": (["runtime/include/lariat/process"], ["runtime/src/process"]),
    "umbrella": (["runtime/include/lariat"], []),
}

# The floors: which units' public headers a unit may include, beside its own.
_THREE = ["base", "context", "task", "driver"]
_NET = ["base", "task", "loop", "offload", "sync", "sync/shared"]
SEES = {
    "base": [],
    "context": ["base"],
    "task": ["base", "context"],
    "driver": ["base", "context"],
    "loop": _THREE,
    "offload": _THREE + ["loop"],
    "green": _THREE + ["loop"],
    "cores": _THREE + ["loop"],
    "sync": ["base", "task"],
    "sync/shared": ["base", "task", "loop", "sync"],
    "net": _NET,
    "net/http": _NET + ["net"],
    "net/tls": _NET + ["net"],
    "net/asio": _NET + ["net"],
    "process": _THREE + ["loop", "offload", "green", "cores", "sync", "sync/shared", "net"],
    "umbrella": [unit for unit in UNITS if unit != "umbrella"],
}

# Who may include another unit's private headers.
SEES_PRIVATE = {"driver": ["base"], "loop": ["base", "driver"], "offload": ["base"],
                "cores": ["base"], "net/http": ["net"], "net/tls": ["net"],
                "sync/shared": ["sync"], "process": ["base", "loop", "offload"]}

# What <lariat/lariat.hpp> leaves to be included by name.
NOT_IN_UMBRELLA = ("lariat/net/http", "lariat/net/tls", "lariat/net/asio", "lariat/process",
                   "lariat/green")

ROOMS = ["runtime", "net", "sync"]
PUBLIC = ["runtime/include", "net/include", "sync/include"]
OUTSIDERS = ["examples", "perf"]  # they see public headers only
# But for what the simulator's network is needed for: it has no public door.
INSIDERS = {"perf/micro/simulated_bench.cpp"}

# System headers (a trailing * matches the rest) and the only folders that may include them.
# Headers not named here may be included anywhere but in public headers.
SYSTEM_HEADERS = {
    "liburing*": ["runtime/src/driver/uring", "tests", "perf"],
    "linux/io_uring.h": ["runtime/src/driver/uring", "tests", "perf"],
    "sys/epoll.h": ["runtime/src/driver/epoll", "tests", "perf"],
    "llhttp*": ["net/src/http", "tests"],
    "openssl/*": ["net/src/tls", "net/include/lariat/net/tls", "runtime/src/process", "tests"],
    "asio*": ["net/include/lariat/net/asio", "net/include/lariat/net/asio.hpp", "tests", "perf",
              "examples"],
    "cereal/*": ["runtime/include/lariat/process", "tests"],
    "boost/*": ["perf"],
    "uv.h": ["perf"],
    "event2/*": ["perf"],
    "doctest/*": ["tests"],
    "sys/socket.h": ["runtime/src/driver", "runtime/src/loop", "runtime/src/offload",
                     "runtime/src/process", "runtime/src/green", "net/src", "tests", "perf",
                     "examples"],
    "netinet/*": ["net/src", "runtime/src/driver", "runtime/src/green", "runtime/src/process",
                  "tests", "perf", "examples"],
    "netdb.h": ["net/src", "runtime/src/green", "tests", "perf", "examples"],
    # A process flushes the standard streams at its end, and before it is copied.
    "iostream": ["runtime/src/process", "tests", "perf", "examples"],
    "regex": [],
    "bits/*": [],
}

# Public headers include the C++ standard library, without its C headers, and Lariat; these may
# include more.
PUBLIC_MAY = {
    "net/include/lariat/net/asio": ["asio*"],
    "net/include/lariat/net/asio.hpp": ["asio*"],
    "runtime/include/lariat/process": ["cereal/*"],
}
# What the floors without threads keep out of their public headers: it is slow to compile, or it
# blocks.
PUBLIC_MUST_NOT = {
    "runtime/include/lariat/base": ["thread", "mutex", "condition_variable", "future", "iostream",
                                    "fstream", "sstream", "regex", "filesystem", "random"],
    "runtime/include/lariat/task": ["thread", "mutex", "condition_variable", "future", "iostream",
                                    "fstream", "sstream", "regex", "filesystem", "random"],
    "sync/include/lariat/sync": ["condition_variable", "future", "iostream", "regex"],
}

# Macros are for assertions and configuration: the public headers that may define one.
MAY_DEFINE = ["runtime/include/lariat/base/config.hpp", "runtime/include/lariat/base/assert.hpp"]

# Words of a backend, and the folders that may say them (comments aside).
BACKEND_WORDS = {
    r"\b(?:io_uring_(?:setup|enter|register|prep|queue|get|wait|submit|peek|cqe|sqe)\w*"
    r"|IORING_\w+|IOSQE_\w+)": ["runtime/src/driver/uring", "tests", "perf"],
    r"\b(?:epoll_(?:create1?|ctl|p?wait2?)|EPOLL[A-Z]+)\b": ["runtime/src/driver/epoll", "tests",
                                                            "perf"],
    r"\bLARIAT_HAS_URING\b": ["runtime/src/driver", "tests"],
}

# Limits: folder -> (suffix or * -> lines).
MAX_LINES = {
    "": {".hpp": 400, ".cpp": 500, ".py": 500, ".sh": 500},
    "examples": {".cpp": 100},
}
MAX_FUNCTION = 70
MAX_COLUMNS = 100
# Programs as their users wrote them: kept to the letter, so neither folded nor formatted.
AS_WRITTEN = "tests/programs/"
README_LINES = 150
README_NAMES = ["examples/run.sh", "tests/run.sh"]

# Everything that may stand at the top level; names with a leading dot and build* may as well.
TOP_LEVEL = {"meson.build", "meson_options.txt", "README.md", "LICENSE", "CHANGELOG.md", "runtime",
             "net", "sync", "examples", "tests", "perf", "subprojects"}

# Put together from halves, so that this file does not find itself.
UNFINISHED = [r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bXX" r"X\b", r"\bHA" r"CK\b",
              r"#\s*if\s+" r"0\b", r"\bnot " r"implemented\b", r"\bunimple" r"mented\b",
              r"\bplace" r"holder\b", r"\bsimplified " r"version\b"]
# Tests never wait by the clock, and never pass without having looked.
NOT_IN_TESTS = [r"\bsleep_(?:for|until) *\( *(?:std|[0-9])", r"\b(?:u|nano)sleep *\(",
                r"(?<![\w:])sleep *\( *[0-9]+ *\)",
                r"\b(?:CHECK|REQUIRE) *\( *true *\)",
                r"\* *doctest::(?:skip\( *(?:true)? *\)|(?:should|may)_fail)"]
