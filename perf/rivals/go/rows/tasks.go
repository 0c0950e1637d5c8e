package main

import (
	"bytes"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// together runs count goroutines to their end.
func together(count int, body func()) {
	var all sync.WaitGroup
	all.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			body()
			all.Done()
		}()
	}
	all.Wait()
}

func yieldInCompany() float64 {
	const company = 100
	watch := start()
	together(company, func() {
		for i := 0; i < million/company; i++ {
			runtime.Gosched()
		}
	})
	return watch.each(million)
}

func spawnAndJoin() float64 {
	watch := start()
	together(million, runtime.Gosched)
	return watch.each(million)
}

func spawnThenJoin() float64 {
	watch := start()
	for i := 0; i < million; i++ {
		together(1, func() {})
	}
	return watch.each(million)
}

// switchByValue: a value goes to a goroutine and another comes back: two switches.
func switchByValue() float64 {
	there, back := make(chan int), make(chan int)
	go func() {
		for value := range there {
			back <- value + 1
		}
	}()
	watch := start()
	value := 0
	for i := 0; i < million/2; i++ {
		there <- value
		value = <-back
	}
	close(there)
	return watch.each(million)
}

func residentBytes() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.Atoi(string(bytes.Fields(text)[1]))
	if err != nil {
		panic(err)
	}
	return pages * os.Getpagesize()
}

const parked = 100_000

func bytesParked() float64 {
	goOn := make(chan struct{})
	before := residentBytes()
	var all sync.WaitGroup
	all.Add(parked)
	for i := 0; i < parked; i++ {
		go func() {
			<-goOn
			all.Done()
		}()
	}
	runtime.Gosched()
	value := float64(residentBytes()-before) / parked
	close(goOn)
	all.Wait()
	return value
}

func millionSleepers() float64 {
	chance := rand.New(rand.NewSource(1))
	var all sync.WaitGroup
	all.Add(million)
	begun := time.Now()
	for i := 0; i < million; i++ {
		length := time.Duration(chance.Intn(100_000)) * time.Microsecond
		go func() {
			time.Sleep(length)
			all.Done()
		}()
	}
	all.Wait()
	return time.Since(begun).Seconds()
}

func sleepTwoSeconds() float64 {
	begun := time.Now()
	together(1_000, func() { time.Sleep(2 * time.Second) })
	return time.Since(begun).Seconds()
}

func createAndCancel() float64 {
	watch := start()
	for i := 0; i < million; i++ {
		time.AfterFunc(time.Hour, func() {}).Stop()
	}
	return watch.each(million)
}

func gatherTen() float64 {
	const rounds = million / 10
	watch := start()
	for i := 0; i < rounds; i++ {
		together(10, runtime.Gosched)
	}
	return watch.each(rounds)
}

func tree(first, size int, answer chan<- int) {
	if size == 1 {
		answer <- first
		return
	}
	part := size / 10
	children := make(chan int, 10)
	for i := 0; i < 10; i++ {
		go tree(first+i*part, part, children)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-children
	}
	answer <- sum
}

func skynet() float64 {
	answer := make(chan int, 1)
	watch := start()
	go tree(0, million, answer)
	if <-answer != million*(million-1)/2 {
		panic("skynet: wrong sum")
	}
	return watch.each(1) / 1e6
}

// generate: what Go 1.19 has for it is a channel.
func generate(count int) float64 {
	items := make(chan int)
	watch := start()
	go func() {
		for i := 0; i < count; i++ {
			items <- i
		}
		close(items)
	}()
	sum := 0
	for item := range items {
		sum += item
	}
	return watch.each(count)
}
