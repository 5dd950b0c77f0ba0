package codec_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/codec"
)

type of struct {
	Use   protojobs.Use
	Kind  string
	Queue string
	JobID string `json:"job_id"`
}

func (o of) context() protojobs.PayloadContext {
	return protojobs.PayloadContext{Kind: o.Kind, Queue: o.Queue, Use: o.Use, JobID: o.JobID}
}

func (o of) contentType() string {
	if o.Use == protojobs.UsePayload {
		return protojobs.EnvelopeType
	}
	return protojobs.JSON
}

type vectors struct {
	Keys      map[string]hexBytes
	Envelopes []struct {
		Name     string
		Encoders []struct {
			Method    string
			Key       string
			BindQueue bool `json:"bind_queue"`
		}
		Context      of
		ContentType  string `json:"content_type"`
		Data         hexBytes
		Envelope     hexBytes
		Reproducible bool
	}
	Refused []struct {
		Name     string
		Context  of
		Envelope hexBytes
		Reason   string
	}
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) error {
	var err error
	*b, err = hex.DecodeString(string(text))
	return err
}

func read(t *testing.T) (vectors, map[string][]byte) {
	t.Helper()
	text, err := os.ReadFile("../../../../proto/testdata/envelopes.json")
	if err != nil {
		t.Fatal(err)
	}
	var found vectors
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{}
	for id, key := range found.Keys {
		keys[id] = key
	}
	return found, keys
}

func encrypt(t *testing.T, keys map[string][]byte, options codec.EncryptOptions) *codec.Encrypt {
	t.Helper()
	made, err := codec.NewEncrypt(keys, options)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestEveryEnvelopeOfTheProtocolIsReadAndMade(t *testing.T) {
	found, keys := read(t)
	reader := codec.Chain(codec.NewCompress(), encrypt(t, keys, codec.EncryptOptions{Active: "2026-11"}))
	for _, each := range found.Envelopes {
		t.Run(each.Name, func(t *testing.T) {
			sealed := protojobs.Payload{Data: each.Envelope, ContentType: each.Context.contentType()}

			opened, err := reader.Decode(sealed, each.Context.context())

			if err != nil || !bytes.Equal(opened.Data, each.Data) || opened.ContentType != each.ContentType {
				t.Fatalf("%+v, %v", opened, err)
			}
			if !each.Reproducible {
				return
			}
			writer := encrypt(t, keys, codec.EncryptOptions{Active: each.Encoders[0].Key, UnboundQueue: !each.Encoders[0].BindQueue})
			made, err := writer.Encode(opened, each.Context.context())
			if err != nil || !bytes.Equal(made.Data, each.Envelope) {
				t.Errorf("%x, %v", made.Data, err)
			}
		})
	}
}

func TestEveryEnvelopeThatMustBeRefusedIsRefusedForItsReason(t *testing.T) {
	found, keys := read(t)
	reader := codec.Chain(codec.NewCompress(), encrypt(t, keys, codec.EncryptOptions{Active: "2026-11"}))
	for _, each := range found.Refused {
		t.Run(each.Name, func(t *testing.T) {
			sealed := protojobs.Payload{Data: each.Envelope, ContentType: each.Context.contentType()}

			_, err := reader.Decode(sealed, each.Context.context())

			var told *protojobs.UndecodableError
			if !errors.As(err, &told) || told.Reason != each.Reason {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCompressedPayloadsComeBackAndSmallOnesStay(t *testing.T) {
	for _, gzip := range []bool{false, true} {
		compress := codec.NewCompress()
		compress.Gzip = gzip
		large := protojobs.Payload{Data: bytes.Repeat([]byte("x"), 5000), ContentType: "text/plain"}
		small := protojobs.Payload{Data: []byte("x"), ContentType: "text/plain"}

		packed, err := compress.Encode(large, protojobs.PayloadContext{})
		if err != nil || len(packed.Data) > 100 || packed.ContentType != protojobs.EnvelopeType {
			t.Fatalf("%d bytes of %s, %v", len(packed.Data), packed.ContentType, err)
		}
		opened, err := compress.Decode(packed, protojobs.PayloadContext{})
		if err != nil || !bytes.Equal(opened.Data, large.Data) || opened.ContentType != large.ContentType {
			t.Errorf("%d bytes, %v", len(opened.Data), err)
		}
		if same, err := compress.Encode(small, protojobs.PayloadContext{}); err != nil || string(same.Data) != "x" {
			t.Errorf("%+v, %v", same, err)
		}
		compress.MaxBytes = 1000
		if _, err := compress.Decode(packed, protojobs.PayloadContext{}); err == nil || !strings.HasPrefix(err.Error(), "TOO_LARGE") {
			t.Errorf("%v", err)
		}
	}
}

func TestWhatIsNotEncryptedIsRefusedWhereThatIsRequired(t *testing.T) {
	_, keys := read(t)
	required := encrypt(t, keys, codec.EncryptOptions{Active: "2026-11", Required: true})

	_, err := required.Decode(protojobs.Payload{Data: []byte("{}"), ContentType: protojobs.JSON}, protojobs.PayloadContext{Use: protojobs.UsePayload})

	if err == nil || !strings.HasPrefix(err.Error(), "NOT_ENCRYPTED") {
		t.Errorf("%v", err)
	}
}

func TestNoDumpShowsAKey(t *testing.T) {
	secret := bytes.Repeat([]byte{65}, 32)
	made := encrypt(t, map[string][]byte{"a": secret}, codec.EncryptOptions{})

	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, made); text != "codec.Encrypt(a)" {
			t.Errorf("%s shows %s", verb, text)
		}
	}
}

func TestKeysThatCannotWorkAreRefused(t *testing.T) {
	good := bytes.Repeat([]byte{1}, 32)
	for name, keys := range map[string]map[string][]byte{
		"none": {}, "a short one": {"a": good[:16]}, "a bad id": {"a b": good}, "several, none of them active": {"a": good, "b": good},
	} {
		if _, err := codec.NewEncrypt(keys, codec.EncryptOptions{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
