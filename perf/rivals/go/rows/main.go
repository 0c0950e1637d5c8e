// The rows of Go: rows ROW runs that row and prints a line of JSON. A goroutine is a task and a
// green thread at once. All but what is said to take two cores runs on one processor, as a loop
// does.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

const million = 1_000_000

type row struct {
	id      string
	unit    string
	measure func() float64
	once    bool // it asks for memory that nobody has used, or only waits: no warming up
	n       int  // how many, where it is not what the row's name says
	cores   int
}

var rows = []row{
	{id: "yield", unit: "ns", measure: yieldInCompany},
	{id: "green_yield", unit: "ns", measure: yieldInCompany},
	{id: "spawn_join", unit: "ns", measure: spawnAndJoin},
	{id: "green_spawn", unit: "ns", measure: spawnThenJoin},
	{id: "greenlet_switch", unit: "ns", measure: switchByValue},
	{id: "task_bytes", unit: "B", measure: bytesParked, once: true, n: parked},
	{id: "green_bytes", unit: "B", measure: bytesParked, once: true, n: parked},
	{id: "sleepers", unit: "s", measure: millionSleepers},
	{id: "sleepers2s_tasks", unit: "s", measure: sleepTwoSeconds, once: true},
	{id: "sleepers2s_green", unit: "s", measure: sleepTwoSeconds, once: true},
	{id: "timer", unit: "ns", measure: createAndCancel},
	{id: "gather10", unit: "ns", measure: gatherTen},
	{id: "skynet", unit: "ms", measure: skynet},
	{id: "generator", unit: "ns", measure: func() float64 { return generate(million) }},
	{id: "generator_1e8", unit: "s",
		measure: func() float64 { return generate(100*million) * 100 * million / 1e9 }},
	{id: "mutex", unit: "ns", measure: lockAndUnlock},
	{id: "mutex_handover", unit: "ns", measure: handOver},
	{id: "event_pingpong", unit: "ns", measure: pingPong},
	{id: "queue_1", unit: "ns", measure: func() float64 { return throughChannel(1) }},
	{id: "queue_64", unit: "ns", measure: func() float64 { return throughChannel(64) }},
	{id: "queue_unbounded", unit: "ns", measure: func() float64 { return throughChannel(million) }},
	{id: "channel_0", unit: "ns", measure: func() float64 { return throughChannel(0) }},
	{id: "channel_64", unit: "ns", measure: func() float64 { return throughChannel(64) }},
	{id: "select", unit: "ns", measure: throughSelect},
	{id: "post", unit: "ns", measure: postsUnderLoad, cores: 2},
	{id: "wake", unit: "us", measure: wakeAndBack, cores: 2},
}

// stopwatch is the CPU time of the process, what the garbage collector takes included.
type stopwatch time.Duration

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func start() stopwatch { return stopwatch(cpuTime()) }

func (watch stopwatch) each(operations int) float64 {
	return float64(cpuTime()-time.Duration(watch)) / float64(operations)
}

func main() {
	for _, each := range rows {
		if len(os.Args) != 2 || each.id != os.Args[1] {
			continue
		}
		runtime.GOMAXPROCS(1)
		if each.cores > 1 {
			runtime.GOMAXPROCS(each.cores)
		}
		if !each.once {
			each.measure()
		}
		runtime.GC()
		value := each.measure()
		fmt.Printf(`{"row": "%s", "value": %.6g, "unit": "%s"`, each.id, value, each.unit)
		if each.n != 0 {
			fmt.Printf(`, "n": %d`, each.n)
		}
		fmt.Println("}")
		return
	}
	fmt.Fprintf(os.Stderr, "usage: %s ROW, one of:", os.Args[0])
	for _, each := range rows {
		fmt.Fprint(os.Stderr, " ", each.id)
	}
	fmt.Fprintln(os.Stderr)
	os.Exit(2)
}
