#!/usr/bin/env bash
# Runs the built examples, shows what they print, and checks that it is what it should be.
# The last line is "N passed, N failed".
#
#   bash examples/demo.sh DIRECTORY-OF-EXAMPLES PATH-OF-ECHO_LOAD
set -uo pipefail
examples=$1
load=$2
passed=0
failed=0
work=$(mktemp -d)
servers=()
clean_up() {
    [ ${#servers[@]} -eq 0 ] || kill -KILL "${servers[@]}"
    wait
    rm -rf "$work"
} 2>/dev/null
trap clean_up EXIT

title() { printf '\n== %s\n' "$*"; }

# judge NAME CODE: counts one example.
judge() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '!! %s is not as it should be\n' "$1"
    fi
}

# shows NAME TEXT...: runs an example to its end; each TEXT must be a line of what it prints.
shows() {
    local name=$1 code=0 text
    shift
    title "$name"
    timeout 60 "$examples/$name" >"$work/out" 2>&1 || code=$?
    cat "$work/out"
    for text in "$@"; do
        grep -qxF -- "$text" "$work/out" || { printf '!! no line: %s\n' "$text"; code=1; }
    done
    judge "$name" "$code"
}

# serve NAME: starts an example server on a free port; sets $port and $server.
serve() {
    "$examples/$1" 0 >"$work/$1.out" 2>&1 &
    server=$!
    servers+=("$server")
    port=''
    for _ in $(seq 100); do
        port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/$1.out")
        [ -z "$port" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        read -rt 0.05 <> <(:) || :
    done
    cat "$work/$1.out"
    return 1
}

# stop_server NAME: asks it to end, as Ctrl-C does; it must say so and leave with 0.
stop_server() {
    local code=0
    kill -INT "$server"
    wait "$server" || code=$?
    tail -n 1 "$work/$1.out"
    grep -qx stopped "$work/$1.out" && [ "$code" -eq 0 ]
}

shows order 'both together took 0.5 s, not 1.0 s'
shows timeout_and_cancel 'timeout: timeout: timed out' \
    'worker: cancelled, but this still gets done' 'worker was cancelled: yes' \
    'race: number 1 won with 2' "the scope's work finished: no, its deadline came"
shows pipeline '2 3 5 7 11 ' '31 37 41 43 47 ' 'sent 60, the mean is 30.0'
shows producer_consumer 'close: 100 buns were eaten' 'close: one more bun? closed' \
    'pills: 30 buns were eaten, three eaters went home' \
    'join: 20 buns were eaten, and the eaters wait for more' \
    'a put that ran out of time has put nothing: size 1' \
    'queue.put_nowait: the queue is full'
shows traffic_lights 'car 1 comes at red and waits' 'car 3 comes at green and drives on' \
    'the impatient one turns back' 'nobody is left in the street'
shows wait_for_service 'worker 1: still waiting, 100 ms so far' 'service: up' \
    '10 workers were served'
shows run_programs 'exit code 0, output 4 bytes, errors 4 bytes' \
    'exit code -15, output 0 bytes, errors 0 bytes' 'tr says: FROM LARIAT' 'tr ended with 0' \
    'sorted: the first is 1, of 1288895 bytes' 'asked, then killed: -9' \
    'too slow: the program was ended' 'no such program: no-such-program: No such file or directory'
shows map_reduce '10 different words, "wood" 4 times' \
    '9592 primes below 100000, counted by all cores'

if [ -x "$examples/process_pool" ]; then
    shows process_pool '9592 primes below 100000' 'the root of a million is 1000' \
        'a worker says: no root of a negative number' 'a worker died of signal 9' \
        'another took its place: the root of 144 is 12'
    shows shared_stock 'Anna has bought 3' 'Ben has bought 4' '1 left' \
        'the manager says: no such fruit: figs'
    shows ticket_rush '10 tickets sold, 0 left'

    title 'workers: a reload and a crash under load'
    code=1
    "$examples/workers" 0 >"$work/workers.out" 2>&1 &
    server=$!
    servers+=("$server")
    timeout 60 python3 - "$work/workers.out" "$server" <<'VISITORS' && code=0
import os, re, signal, socket, sys

def port():
    while True:
        with open(sys.argv[1], encoding="ascii") as said:
            found = re.findall(r"listens on 127.0.0.1:(\d+)", said.read())
        if len(found) == 2:
            assert found[0] == found[1], found
            return int(found[0])
        os.sched_yield()

def ask():
    with socket.create_connection(("127.0.0.1", where), timeout=20) as client:
        lines = client.makefile("rw")
        pid = int(lines.readline().split()[1])
        lines.write("hello\n")
        lines.flush()
        assert lines.readline() == "hello\n"
        return pid

def ask_until(count, known):
    seen = set()
    while len(seen) < count:
        seen |= {ask()} - known
    return seen

where = port()
first = ask_until(2, set())
os.kill(int(sys.argv[2]), signal.SIGHUP)
second = ask_until(2, first)
os.kill(second.pop(), signal.SIGKILL)
ask_until(1, first | second)
print("every client was served: before the reload, after it, and after the crash")
VISITORS
    kill -TERM "$server"
    wait "$server" || code=1
    grep 'crashed: signal 9' "$work/workers.out" || code=1
    judge workers "$code"
fi

for driver in uring epoll; do
    title "echo_server under load (LARIAT_BACKEND=$driver where the kernel has it)"
    code=1
    export LARIAT_BACKEND=$driver
    [ "$driver" = epoll ] || unset LARIAT_BACKEND
    if serve echo_server; then
        code=0
        for cell in '50 64 16' '500 1024 1' '20 65536 2'; do
            read -r connections size pipeline <<<"$cell"
            timeout 60 "$load" --port "$port" --connections "$connections" --size "$size" \
                --pipeline "$pipeline" --duration 1 --warmup 0.2 --server-pid "$server" 2>&1 ||
                code=1
        done
        timeout 60 "$load" --port "$port" --mode churn --connections 20 --size 64 --duration 1 \
            --warmup 0.2 --server-pid "$server" 2>&1 || code=1
        stop_server echo_server || code=1
    fi
    judge "echo_server ($driver)" "$code"
done
unset LARIAT_BACKEND

title 'upper_server and three clients at once'
code=1
if serve upper_server; then
    code=0
    clients=()
    for name in ann bob cleo; do
        printf 'hello from %s\n' "$name" |
            timeout 20 socat -t 5 - "TCP:127.0.0.1:$port" >"$work/$name" &
        clients+=($!)
    done
    wait "${clients[@]}" || code=1
    for name in ann bob cleo; do
        cat "$work/$name"
        grep -qx "HELLO FROM ${name^^}" "$work/$name" || code=1
    done
    stop_server upper_server || code=1
fi
judge upper_server "$code"

title 'chat: two who talk, and one who never reads'
code=1
if serve chat; then
    code=0
    timeout 60 python3 - "$port" <<'VISITORS' || code=1
import socket, sys

def join(name):
    visitor = socket.socket()
    visitor.settimeout(20)
    if name == "deaf":
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    visitor.connect(("127.0.0.1", int(sys.argv[1])))
    visitor.sendall(name.encode() + b"\n")
    return visitor

ann = join("ann")
ann_hears = ann.makefile("r")
heard = [ann_hears.readline()]
deaf = join("deaf")
heard.append(ann_hears.readline())
bob = join("bob")
heard.append(ann_hears.readline())
bob_hears = bob.makefile("r")
bob_hears.readline()

# In step, so that those who read always keep up, until the one who does not read is shown out.
for _ in range(1000):
    bob.sendall((b"x" * 4000 + b"\n") * 50)
    for hears in (ann_hears, bob_hears):
        said = 0
        while said < 50:
            line = hears.readline()
            said += line.startswith("bob: ")
            if hears is ann_hears and not line.startswith("bob: "):
                heard.append(line)
    if len(heard) > 3:
        break
bob.shutdown(socket.SHUT_RDWR)
heard.append(ann_hears.readline())
for line in heard:
    print("ann heard:", line, end="")
sys.exit(heard != ["ann is here\n", "deaf is here\n", "bob is here\n",
                   "deaf did not keep up\n", "bob has left\n"])
VISITORS
    stop_server chat || code=1
fi
judge chat "$code"

if [ -x "$examples/concurrent_fetch" ]; then
    title 'concurrent_fetch: 40 files and one that is not there, from a server of Python'
    code=0
    mkdir "$work/site" "$work/site/again" "$work/saved"
    for i in $(seq 40); do head -c $((i * 1000)) /dev/urandom >"$work/site/file$i.bin"; done
    cp "$work/site/file1.bin" "$work/site/again/file1.bin"
    python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/site" >"$work/site.out" 2>&1 &
    servers+=($!)
    for _ in $(seq 200); do
        port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/site.out" | head -n 1)
        [ -z "$port" ] || break
        read -rt 0.05 <> <(:) || :
    done
    urls=()
    for i in $(seq 40); do urls+=("http://127.0.0.1:$port/file$i.bin"); done
    urls+=("http://127.0.0.1:$port/again/file1.bin" 'http://127.0.0.1:1/nobody-listens')
    timeout 60 "$examples/concurrent_fetch" "$work/saved" "${urls[@]}" >"$work/out" 2>/dev/null
    [ $? -eq 1 ] || code=1 # one URL failed, and it says so
    head -n 3 "$work/out"
    printf '...\n'
    grep '^failed' "$work/out" || code=1
    tail -n 1 "$work/out"
    tail -n 1 "$work/out" | grep -q '^41 fetched, 1 failed' || code=1
    for i in $(seq 40); do
        cmp -s "$work/site/file$i.bin" "$work/saved/file$i.bin" && continue
        printf '!! file%d.bin was not saved as it was served\n' "$i"
        code=1
    done
    cmp -s "$work/site/file1.bin" "$work/saved/file1.bin.2" || code=1
    judge concurrent_fetch "$code"
fi

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
