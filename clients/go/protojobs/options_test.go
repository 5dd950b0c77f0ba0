package protojobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

func TestOptionsComeFromTheEnvironment(t *testing.T) {
	environment := map[string]string{
		"PROTOJOBS_ADDRESS": "jobs.example.com:443", "PROTOJOBS_TOKEN": "secret", "PROTOJOBS_CA": "/ca.pem",
		"PROTOJOBS_SERVER_NAME": "jobs", "PROTOJOBS_CALL_TIMEOUT": "1.5",
	}

	options, err := optionsFrom(func(name string) string { return environment[name] })

	if err != nil || options.Address != "jobs.example.com:443" || options.Token != "secret" || options.CA != "/ca.pem" ||
		options.ServerName != "jobs" || options.CallTimeout != 1500*time.Millisecond {
		t.Errorf("%+v, %v", options, err)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, options := range map[string]Options{
		"token twice":        {Token: "a", TokenFile: "b"},
		"cert without key":   {Cert: "a"},
		"insecure with a CA": {Insecure: true, CA: "a"},
		"a tiny message":     {MaxMessageBytes: 10},
	} {
		if options.check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestNoDumpOfOptionsShowsTheToken(t *testing.T) {
	options := Options{Token: "secret"}

	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, options); strings.Contains(text, "secret") {
			t.Errorf("%s shows %s", verb, text)
		}
	}
	if strings.Contains(options.LogValue().String(), "secret") {
		t.Error("a log shows it")
	}
}

func TestOnlyLoopbackIsReachedWithoutTLS(t *testing.T) {
	for address, wanted := range map[string]bool{
		"":                           false,
		"localhost:1":                false,
		"127.0.0.1:1,127.0.0.2:1":    false,
		"[::1]:1":                    false,
		"unix:/run/jobs.sock":        false,
		"127.0.0.1:1,10.0.0.1:1":     true,
		"jobs.example.com:50051":     true,
		"dns:///jobs.example.com:1":  true,
		"ipv4:10.1.2.3:50051":        true,
		"dns:///localhost:50051":     false,
		"ipv6:[::1]:50051,[::1]:502": false,
	} {
		if got := (Options{Address: address}).usesTLS(); got != wanted {
			t.Errorf("%q: TLS %t", address, got)
		}
	}
	if (Options{Address: "jobs.example.com:1", Insecure: true}).usesTLS() {
		t.Error("Insecure does not switch TLS off")
	}
}

func TestAddressesBecomeTargets(t *testing.T) {
	for address, wanted := range map[string]string{
		"host:1":          "dns:///host:1",
		"dns:///host:1":   "dns:///host:1",
		"ipv4:10.0.0.1:1": "dns:///10.0.0.1:1",
		"unix:/a":         "unix:/a",
		"a:1,b:2":         "protojobs:///a:1",
	} {
		if got, _ := target(address); got != wanted {
			t.Errorf("%q: target %q", address, got)
		}
	}
}

func TestPayloadErrorsTellNoneOfTheData(t *testing.T) {
	type counted struct{ N int }
	for _, text := range []string{`{"N": "secret"}`, `secret`, `{"N": 1.5e99}`, `["secret"]`} {
		var target counted
		err := DecodeData(Payload{[]byte(text), JSON}, &target)
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "1.5") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBytesNeedAMediaType(t *testing.T) {
	if _, err := EncodeData([]byte("x"), ""); err == nil {
		t.Error("bytes are accepted without one")
	}
	payload, err := EncodeData([]byte("x"), "image/png")
	if err != nil || payload.ContentType != "image/png" {
		t.Errorf("%+v, %v", payload, err)
	}
}

func TestAJobMadeOfASpecMakesTheSameSpec(t *testing.T) {
	job := Job{
		Kind: "k", Queue: "q", ID: "id", Payload: []byte{0, 255}, ContentType: "application/octet-stream", Delay: time.Second,
		Priority: 3, RunTimeout: time.Minute, ResultRetention: time.Hour, FairnessKey: "f", ConcurrencyKey: "c",
		Retry:  RetryPolicy{InitialBackoff: new(time.Duration), MaxBackoff: new(time.Minute), Multiplier: 3, Jitter: JitterFull},
		Unique: &Unique{Key: "u", Scope: WithinWindow, Window: time.Minute, OnConflict: Debounce}, Headers: map[string]string{"a": "b"},
		OnComplete: []Job{{Kind: "next"}}, OnFailed: []Job{{Kind: "other"}},
	}
	first, err := SpecOf(job, nil)
	if err != nil {
		t.Fatal(err)
	}

	second, err := SpecOf(JobFromSpec(first), nil)

	if err != nil || !proto.Equal(first, second) || first.GetRetry().GetInitialBackoff() == nil {
		t.Errorf("%v\n%v\n%v", first, second, err)
	}
}

func TestJobsThatFollowInheritTheTrace(t *testing.T) {
	job := Job{
		Kind: "k", Headers: map[string]string{"traceparent": "00-1", "other": "x"},
		OnComplete: []Job{{Kind: "next", Headers: map[string]string{"mine": "y"}}, {Kind: "own", Headers: map[string]string{"traceparent": "00-2"}}},
	}

	spec, err := SpecOf(job, nil)
	if err != nil {
		t.Fatal(err)
	}

	next, own := spec.GetOnComplete()[0].GetHeaders(), spec.GetOnComplete()[1].GetHeaders()
	if next["traceparent"] != "00-1" || next["mine"] != "y" || next["other"] != "" || own["traceparent"] != "00-2" {
		t.Errorf("headers %v, %v", next, own)
	}
}
