package protojobs

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// DefaultAddress is where a server listens unless it is told otherwise.
const DefaultAddress = "127.0.0.1:50051"

const smallestMessage = 64 * 1024

// Options say where the server is and how patiently to talk to it. The zero value is a server on this machine.
//
// Without TLS only loopback addresses are reached, unless Insecure says so; anywhere else TLS is used, with the system's
// roots unless CA names others.
type Options struct {
	Address    string // host:port, several of them separated by commas, or a gRPC target; default DefaultAddress
	Token      string // sent as a bearer token with every call
	TokenFile  string // instead of Token; read again when it changes
	CA         string // PEM file of the roots to trust; switches TLS on
	Cert       string // PEM file of the client's certificate chain; with Key
	Key        string // PEM file of the client's private key; with Cert
	ServerName string // name to expect in the server's certificate instead of the host
	TLS        bool   // TLS to this machine, too; elsewhere it is used anyway
	Insecure   bool   // no TLS, wherever the server is

	DispatchTimeout time.Duration // of one try of a dispatch; default 5 s
	ReadTimeout     time.Duration // of one try of anything else; default 10 s
	CallTimeout     time.Duration // of a call with its retries; default 30 s
	MaxMessageBytes int           // largest message to send: what the server reads; default 4 MiB
	MaxReceiveBytes int           // largest message to take; default 16 MiB

	Unary      bool         // each dispatch is a call of its own; else concurrent ones share a stream
	Codec      Codec        // what happens to payloads, results and checkpoints on their way; default nothing
	Middleware []Middleware // around every dispatch, the first one outermost
	Logger     *slog.Logger // default slog.Default()

	DialOptions []grpc.DialOption // further options of the gRPC connection, for example a stats handler of OpenTelemetry
}

// OptionsFromEnv reads PROTOJOBS_ADDRESS, _TOKEN, _TOKEN_FILE, _CA, _CERT, _KEY, _SERVER_NAME, _INSECURE and
// _CALL_TIMEOUT, which is in seconds. Empty and absent variables leave the default.
func OptionsFromEnv() (Options, error) {
	return optionsFrom(os.Getenv)
}

func optionsFrom(getenv func(string) string) (Options, error) {
	options := Options{
		Address:    getenv("PROTOJOBS_ADDRESS"),
		Token:      getenv("PROTOJOBS_TOKEN"),
		TokenFile:  getenv("PROTOJOBS_TOKEN_FILE"),
		CA:         getenv("PROTOJOBS_CA"),
		Cert:       getenv("PROTOJOBS_CERT"),
		Key:        getenv("PROTOJOBS_KEY"),
		ServerName: getenv("PROTOJOBS_SERVER_NAME"),
	}
	switch strings.ToLower(getenv("PROTOJOBS_INSECURE")) {
	case "1", "true", "yes", "on":
		options.Insecure = true
	case "", "0", "false", "no", "off":
	default:
		return Options{}, errors.New("protojobs: PROTOJOBS_INSECURE must be true or false")
	}
	if text := getenv("PROTOJOBS_CALL_TIMEOUT"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || seconds <= 0 {
			return Options{}, errors.New("protojobs: PROTOJOBS_CALL_TIMEOUT must be a number of seconds above 0")
		}
		options.CallTimeout = time.Duration(seconds * float64(time.Second))
	}
	return options, options.check()
}

// String describes the options without the token.
func (o Options) String() string {
	return fmt.Sprintf("protojobs.Options{Address: %s, TLS: %t}", o.address(), o.usesTLS())
}

// GoString is String: the token is in no dump.
func (o Options) GoString() string { return o.String() }

// LogValue is what a log may hold of the options.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("address", o.address()), slog.Bool("tls", o.usesTLS()))
}

// check returns an error for what cannot work.
func (o Options) check() error {
	switch {
	case o.Token != "" && o.TokenFile != "":
		return errors.New("protojobs: Token and TokenFile exclude each other")
	case (o.Cert == "") != (o.Key == ""):
		return errors.New("protojobs: Cert and Key belong together")
	case o.Insecure && (o.TLS || o.CA != "" || o.Cert != ""):
		return errors.New("protojobs: Insecure and TLS, CA or Cert exclude each other")
	case o.DispatchTimeout < 0 || o.ReadTimeout < 0 || o.CallTimeout < 0:
		return errors.New("protojobs: timeouts must be more than 0 s")
	case tooSmall(o.MaxMessageBytes) || tooSmall(o.MaxReceiveBytes):
		return errors.New("protojobs: MaxMessageBytes and MaxReceiveBytes must be at least 64 KiB")
	}
	return nil
}

func tooSmall(bytes int) bool { return bytes != 0 && bytes < smallestMessage }

// filled returns the options with every default in place.
func (o Options) filled() Options {
	o.Address = o.address()
	o.DispatchTimeout = cmp.Or(o.DispatchTimeout, 5*time.Second)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 10*time.Second)
	o.CallTimeout = cmp.Or(o.CallTimeout, 30*time.Second)
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, 4*1024*1024)
	o.MaxReceiveBytes = cmp.Or(o.MaxReceiveBytes, 16*1024*1024)
	if o.Codec == nil {
		o.Codec = plainCodec{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (o Options) address() string {
	return cmp.Or(strings.TrimSpace(o.Address), DefaultAddress)
}
