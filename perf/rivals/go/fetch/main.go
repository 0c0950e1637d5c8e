// 1,000 small URLs at once by net/http, from the server by hand: fetch SERVER ROW. As rows_fetch.py:
// the client on core 0, the server on core 1, 100 connections at most.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

const (
	urls        = 1000
	connections = 100
)

func fetch(client *http.Client, where string, number int) error {
	response, err := client.Get(fmt.Sprintf("%s%d", where, number))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != fmt.Sprintf("number %d\n", number) {
		err = fmt.Errorf("a wrong answer to /%d: %q", number, body)
	}
	return err
}

func fetchAll(where string) (time.Duration, error) {
	begun := time.Now()
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	failures := make([]error, urls)
	var all sync.WaitGroup
	for number := 0; number < urls; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			failures[number] = fetch(client, where, number)
		}(number)
	}
	all.Wait()
	took := time.Since(begun)
	for _, failure := range failures {
		if failure != nil {
			return 0, failure
		}
	}
	return took, nil
}

func freePort() (int, error) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer probe.Close()
	return probe.Addr().(*net.TCPAddr).Port, nil
}

func serving(program string) (*exec.Cmd, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	server := exec.Command("setpriv", "--pdeathsig", "KILL", "taskset", "-c", "1", program,
		fmt.Sprint(port))
	if err := server.Start(); err != nil {
		return nil, "", err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			return server, "http://" + address + "/", nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return server, "", fmt.Errorf("the server does not answer")
}

func measure(program string) (time.Duration, error) {
	server, where, err := serving(program)
	if server != nil {
		defer server.Wait()
		defer server.Process.Kill()
	}
	if err != nil {
		return 0, err
	}
	if _, err := fetchAll(where); err != nil { // to warm up
		return 0, err
	}
	return fetchAll(where)
}

func main() {
	// The thread that starts the server must stay: the server ends with it.
	runtime.LockOSThread()
	runtime.GOMAXPROCS(1)
	took, err := measure(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	line := map[string]any{"row": os.Args[2], "value": took.Seconds() * 1e3, "unit": "ms"}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}
