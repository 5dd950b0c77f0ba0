//go:build !linux

package worker

import "runtime/metrics"

// memoryBytes measures what the runtime has of the system and has not given back.
func memoryBytes() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
