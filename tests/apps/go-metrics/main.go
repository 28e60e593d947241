// A program that tells what its run time counts, and has it count: BALLAST keeps memory, in bytes.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

var (
	ballast [][]byte
	small   []*[3]int
)

func main() {
	size, err := strconv.Atoi(os.Getenv("BALLAST"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "BALLAST is no number of bytes")
		os.Exit(1)
	}
	for kept := 0; kept < size; kept += 1 << 16 {
		ballast = append(ballast, make([]byte, 1<<16))
		small = append(small, new([3]int))
	}
	http.HandleFunc("/work", work)
	http.HandleFunc("/counted", counted)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
	os.Exit(1)
}

// work makes and drops objects of all sizes, starts goroutines that stay and others that end, and collects.
func work(answer http.ResponseWriter, _ *http.Request) {
	for size := 1; size < 1<<18; size = size*5/4 + 1 {
		sink = make([]byte, size)
	}
	done := make(chan bool)
	for i := 0; i < 100; i++ {
		go func() { done <- true }()
	}
	for i := 0; i < 100; i++ {
		<-done
	}
	for i := 0; i < 10; i++ {
		go func() { time.Sleep(time.Hour) }()
	}
	runtime.GC()
	debug.FreeOSMemory()
	fmt.Fprint(answer, "done")
}

var sink []byte

func counted(answer http.ResponseWriter, _ *http.Request) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	json.NewEncoder(answer).Encode(map[string]any{
		"golang.goroutines":                 runtime.NumGoroutine(),
		"golang.heap.allocations.mallocs":   stats.Mallocs,
		"golang.heap.allocations.frees":     stats.Frees,
		"golang.heap.allocations.objects":   stats.HeapObjects,
		"golang.heap.allocations.total":     stats.TotalAlloc,
		"golang.heap.allocations.allocated": stats.HeapAlloc,
		"golang.heap.allocations.idle":      stats.HeapIdle,
		"golang.heap.allocations.active":    stats.HeapInuse,
		"golang.heap.system.total":          stats.Sys,
		"golang.heap.system.obtained":       stats.HeapSys,
		"golang.heap.system.stack":          stats.StackSys,
		"golang.heap.system.released":       stats.HeapReleased,
		"golang.heap.gc.next_gc_limit":      stats.NextGC,
		"golang.heap.gc.total_count":        stats.NumGC,
		"golang.heap.gc.total_pause.ns":     stats.PauseTotalNs,
		"golang.heap.gc.cpu_fraction":       stats.GCCPUFraction,
	})
}
