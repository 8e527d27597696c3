// agnhost where the kernel has no SCTP sockets. What agnhost would do with one, `connect --protocol=sctp` and `porter` with
// SERVE_SCTP_PORT_*, is done here with raw packets: INIT, its answer, and ABORT (RFC 9260 §3.3). That is what policies, NAT and
// connection tracking see of a new association. For everything else this becomes agnhost.
package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	agnhost = "/bin/agnhost"
	network = "ip4:132"
	serve   = "SERVE_SCTP_PORT_"
	// Between two INITs: one that is lost is not yet a timeout.
	again = 250 * time.Millisecond

	initChunk    = 1
	initAckChunk = 2
	abortChunk   = 6
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "connect" {
		if destination, timeout, ok := sctpArguments(os.Args[2:]); ok {
			connect(destination, timeout)
		}
	}
	if ports := served(); len(os.Args) > 1 && os.Args[1] == "porter" && len(ports) > 0 {
		fail("OTHER", answer(ports))
	}
	arguments := append([]string{agnhost}, os.Args[1:]...)
	fail("OTHER", syscall.Exec(agnhost, arguments, os.Environ()))
}

// As agnhost says it: one word, and more for people.
func fail(word string, err error) {
	fmt.Fprintln(os.Stderr, word+":", err)
	os.Exit(1)
}

func sctpArguments(arguments []string) (destination string, timeout time.Duration, ok bool) {
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		switch {
		case name == "--timeout":
			parsed, err := time.ParseDuration(value)
			if err != nil {
				fail("UNKNOWN", err)
			}
			timeout = parsed
		case name == "--protocol":
			ok = value == "sctp"
		case !strings.HasPrefix(argument, "-"):
			destination = argument
		}
	}
	return
}

func connect(destination string, timeout time.Duration) {
	host, service, err := net.SplitHostPort(destination)
	if err != nil {
		fail("UNKNOWN", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		fail("UNKNOWN", err)
	}
	address, err := net.ResolveIPAddr("ip4", host)
	if err != nil {
		fail("DNS", err)
	}
	socket, err := net.DialIP(network, nil, address)
	if err != nil {
		fail("OTHER", err)
	}
	own, tag := uint16(32768+rand.N(28000)), rand.Uint32()|1
	deadline := time.Now().Add(timeout)
	buffer := make([]byte, 1500)
	for time.Now().Before(deadline) {
		if _, err := socket.Write(packet(own, uint16(port), 0, initChunk, tag)); err != nil {
			refused(err)
		}
		next := time.Now().Add(again)
		for time.Now().Before(next) {
			socket.SetReadDeadline(next)
			length, _, err := socket.ReadFromIP(buffer)
			if err != nil {
				refused(err)
				break
			}
			got, ok := parse(buffer[:length])
			if ok && got.kind == initAckChunk && got.from == uint16(port) && got.to == own && got.verification == tag {
				socket.Write(packet(own, uint16(port), got.tag, abortChunk, 0))
				os.Exit(0)
			}
		}
	}
	fmt.Fprintln(os.Stderr, "TIMEOUT")
	os.Exit(1)
}

// Ends the program unless nothing has come in time.
func refused(err error) {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return
	}
	fail("REFUSED", err)
}

func served() map[uint16]bool {
	ports := map[uint16]bool{}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if port, err := strconv.ParseUint(strings.TrimPrefix(name, serve), 10, 16); err == nil && strings.HasPrefix(name, serve) {
			ports[uint16(port)] = true
		}
	}
	return ports
}

// Answers every INIT for one of the ports.
func answer(ports map[uint16]bool) error {
	socket, err := net.ListenIP(network, &net.IPAddr{IP: net.IPv4zero})
	if err != nil {
		return err
	}
	fmt.Println("answering SCTP on", ports)
	buffer := make([]byte, 1500)
	for {
		length, from, err := socket.ReadFromIP(buffer)
		if err != nil {
			return err
		}
		if got, ok := parse(buffer[:length]); ok && got.kind == initChunk && ports[got.to] {
			if _, err := socket.WriteToIP(packet(got.to, got.from, got.tag, initAckChunk, rand.Uint32()|1), from); err != nil {
				fmt.Println(err)
			}
		}
	}
}

type chunk struct {
	from, to          uint16
	verification, tag uint32
	kind              byte
}

// The first chunk of a packet whose sum is right.
func parse(bytes []byte) (chunk, bool) {
	if len(bytes) < 16 || sum(bytes) != binary.LittleEndian.Uint32(bytes[8:]) {
		return chunk{}, false
	}
	big := binary.BigEndian
	got := chunk{from: big.Uint16(bytes), to: big.Uint16(bytes[2:]), verification: big.Uint32(bytes[4:]), kind: bytes[12]}
	if len(bytes) >= 20 {
		got.tag = big.Uint32(bytes[16:])
	}
	return got, true
}

// A packet of one chunk: INIT and INIT ACK tell a tag, the latter with a cookie too.
func packet(from, to uint16, verification uint32, kind byte, tag uint32) []byte {
	big := binary.BigEndian
	bytes := big.AppendUint16(nil, from)
	bytes = big.AppendUint16(bytes, to)
	bytes = big.AppendUint32(bytes, verification)
	bytes = append(bytes, 0, 0, 0, 0, kind, 0, 0, 0)
	if kind != abortChunk {
		bytes = big.AppendUint32(bytes, tag)
		bytes = big.AppendUint32(bytes, 65536) // receiver's window
		bytes = append(bytes, 0, 1, 0, 1)      // streams
		bytes = big.AppendUint32(bytes, tag)   // first TSN
	}
	if kind == initAckChunk {
		bytes = append(bytes, 0, 7, 0, 8, 'm', 'r', 'g', 'y')
	}
	big.PutUint16(bytes[14:], uint16(len(bytes)-12))
	binary.LittleEndian.PutUint32(bytes[8:], sum(bytes))
	return bytes
}

// CRC32c over the packet with its own field as zero.
func sum(bytes []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, bytes[:8])
	sum = crc32.Update(sum, table, []byte{0, 0, 0, 0})
	return crc32.Update(sum, table, bytes[12:])
}
