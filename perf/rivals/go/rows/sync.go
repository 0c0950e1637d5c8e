package main

import (
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func lockAndUnlock() float64 {
	var lock sync.Mutex
	watch := start()
	for i := 0; i < million; i++ {
		lock.Lock()
		lock.Unlock()
	}
	return watch.each(million)
}

// handOver: a channel with one token, as a sync.Mutex is not handed over: who unlocks it may lock
// it again first.
func handOver() float64 {
	token := make(chan struct{}, 1)
	var both sync.WaitGroup
	both.Add(2)
	for i := 0; i < 2; i++ {
		go func() {
			for j := 0; j < million/2; j++ {
				<-token
				token <- struct{}{}
			}
			both.Done()
		}()
	}
	runtime.Gosched()
	watch := start()
	token <- struct{}{}
	both.Wait()
	return watch.each(million)
}

func pingPong() float64 {
	ping, pong := make(chan struct{}, 1), make(chan struct{}, 1)
	watch := start()
	go func() {
		for range ping {
			pong <- struct{}{}
		}
	}()
	for i := 0; i < million/2; i++ {
		ping <- struct{}{}
		<-pong
	}
	close(ping)
	return watch.each(million)
}

func throughChannel(capacity int) float64 {
	way := make(chan int, capacity)
	watch := start()
	go func() {
		for i := 0; i < million; i++ {
			way <- i
		}
		close(way)
	}()
	sum := 0
	for item := range way {
		sum += item
	}
	return watch.each(million)
}

func sendAll(way chan<- int, count int) {
	for i := 0; i < count; i++ {
		way <- i
	}
}

func throughSelect() float64 {
	a, b := make(chan int), make(chan int)
	watch := start()
	go sendAll(a, million/2)
	go sendAll(b, million/2)
	sum := 0
	for i := 0; i < million; i++ {
		select {
		case item := <-a:
			sum += item
		case item := <-b:
			sum += item
		}
	}
	return watch.each(million)
}

// postsUnderLoad: items from a goroutine on one core to one on the other.
func postsUnderLoad() float64 {
	begun := time.Now()
	throughChannel(1024)
	return float64(time.Since(begun)) / million
}

func pin(core int) {
	runtime.LockOSThread()
	set := uint64(1) << core
	_, _, failed := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(set),
		uintptr(unsafe.Pointer(&set)))
	if failed != 0 {
		panic(failed)
	}
}

// wakeAndBack: two threads on two cores. Go's spin for a while before they sleep.
func wakeAndBack() float64 {
	const rounds = 5_000
	there, back := make(chan struct{}), make(chan struct{})
	go func() {
		pin(1)
		for range there {
			back <- struct{}{}
		}
	}()
	finished := make(chan float64)
	go func() {
		pin(0)
		begun := time.Now()
		for i := 0; i < rounds; i++ {
			there <- struct{}{}
			<-back
		}
		finished <- float64(time.Since(begun)) / rounds / 1e3
	}()
	value := <-finished
	close(there)
	return value
}
