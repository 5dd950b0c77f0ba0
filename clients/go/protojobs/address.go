package protojobs

import (
	"net"
	"strings"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

var schemes = []string{"dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "passthrough:", "vsock:", "xds:"}

// usesTLS tells whether the connection is encrypted and the server's certificate checked.
func (o Options) usesTLS() bool {
	if o.Insecure {
		return false
	}
	return o.TLS || o.CA != "" || o.Cert != "" || !isLoopback(o.address())
}

// isLoopback tells whether every address is this machine.
func isLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") {
		return true
	}
	for _, part := range hostPorts(address) {
		host := hostOf(part)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// hostPorts returns the host:port parts of an address, its scheme and authority removed.
func hostPorts(address string) []string {
	for _, scheme := range schemes {
		if rest, found := strings.CutPrefix(address, scheme); found {
			address = rest[strings.LastIndex(rest, "/")+1:]
			break
		}
	}
	var parts []string
	for part := range strings.SplitSeq(address, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.Trim(hostPort, "[]")
}

// target returns the address as a gRPC target, and a resolver where it names several addresses.
func target(address string) (string, resolver.Builder) {
	// gRPC for Go has no schemes for literal addresses.
	literal := strings.HasPrefix(address, "ipv4:") || strings.HasPrefix(address, "ipv6:")
	parts := hostPorts(address)
	switch {
	case len(parts) > 1:
		builder := manual.NewBuilderWithScheme("protojobs")
		var state resolver.State
		for _, part := range parts {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: part, ServerName: hostOf(part)})
		}
		builder.InitialState(state)
		return "protojobs:///" + parts[0], builder
	case literal && len(parts) == 1:
		return "dns:///" + parts[0], nil
	}
	for _, scheme := range schemes {
		if strings.HasPrefix(address, scheme) {
			return address, nil
		}
	}
	return "dns:///" + address, nil
}
