// An echo server in Go, a goroutine a client, on one processor: echo PORT.
package main

import (
	"log"
	"net"
	"os"
	"runtime"
)

const bufferBytes = 64 * 1024

func echo(client net.Conn) {
	defer client.Close()
	buffer := make([]byte, bufferBytes)
	for {
		length, err := client.Read(buffer)
		if err != nil {
			return
		}
		if _, err := client.Write(buffer[:length]); err != nil {
			return
		}
	}
}

// Sockets have TCP_NODELAY, and a backlog of net.core.somaxconn, by default.
func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(client)
	}
}
