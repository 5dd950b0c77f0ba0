package protojobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// JSON is the media type of payloads that say nothing else.
const JSON = "application/json"

// EnvelopeType is the media type of what a codec has made.
const EnvelopeType = "application/vnd.protojobs.envelope"

// Payload is bytes and their media type.
type Payload struct {
	Data        []byte
	ContentType string
}

// Use is what bytes are for.
type Use string

// What a codec is asked to change.
const (
	UsePayload    Use = "payload"
	UseResult     Use = "result"
	UseCheckpoint Use = "checkpoint"
)

// PayloadContext says whose bytes they are, so that a codec may bind them to it. JobID is empty where the server will
// choose it: for schedules, and for jobs that follow others.
type PayloadContext struct {
	Kind  string
	Queue string
	Use   Use
	JobID string
}

// Codec changes payloads, results and checkpoints on their way to the server and back, for example to encrypt them.
//
// The same input gives the same output, or a repeated dispatch of one id would look like another job. Results and
// checkpoints have no stored media type: they reach Decode as application/json. What Encode has not made passes Decode
// unchanged. Errors hold none of the bytes; a *UndecodableError says in its reason why. Methods are called concurrently.
type Codec interface {
	Encode(payload Payload, of PayloadContext) (Payload, error)
	Decode(payload Payload, of PayloadContext) (Payload, error)
}

// UndecodableError says that a codec cannot read a payload, a result or a checkpoint; no retry can help. Reasons: NO_CODEC,
// UNKNOWN_KEY, NOT_AUTHENTIC, NOT_ENCRYPTED, CORRUPT, TOO_LARGE.
type UndecodableError struct {
	Reason  string
	Message string
}

// Error begins with the reason.
func (e *UndecodableError) Error() string { return e.Reason + ": " + e.Message }

type plainCodec struct{}

func (plainCodec) Encode(payload Payload, _ PayloadContext) (Payload, error) { return payload, nil }
func (plainCodec) Decode(payload Payload, _ PayloadContext) (Payload, error) { return payload, nil }

// magic is how every envelope begins; no UTF-8 text does.
var magic = []byte{0xF5, 'P', 'J', 1}

// Open returns bytes as they were before a codec, which may be nil. It fails with a *UndecodableError where the codec cannot
// read them, or where they are what another one has made.
func Open(codec Codec, stored Payload, of PayloadContext) (Payload, error) {
	if codec != nil {
		var err error
		if stored, err = codec.Decode(stored, of); err != nil {
			return Payload{}, err
		}
	}
	unnamed := stored.ContentType == JSON || stored.ContentType == ""
	if stored.ContentType == EnvelopeType || (unnamed && bytes.HasPrefix(stored.Data, magic)) {
		return Payload{}, &UndecodableError{"NO_CODEC", "a codec made these bytes, and none here reads them"}
	}
	return stored, nil
}

// EncodeData returns what a job's Data becomes: nothing for nil, JSON for the rest. Bytes need a media type that says what
// they are; json.RawMessage is taken as it is.
func EncodeData(data any, contentType string) (Payload, error) {
	switch data := data.(type) {
	case nil:
		return Payload{ContentType: contentType}, nil
	case json.RawMessage:
		return Payload{bytes.Clone(data), orJSON(contentType)}, nil
	case []byte:
		if contentType == "" {
			return Payload{}, errors.New("protojobs: bytes need a ContentType")
		}
		return Payload{bytes.Clone(data), contentType}, nil
	}
	if !isJSON(orJSON(contentType)) {
		return Payload{}, fmt.Errorf("protojobs: data for %s must be bytes, not %T", contentType, data)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return Payload{}, fmt.Errorf("protojobs: the data of a job cannot be encoded: %w", err)
	}
	return Payload{bytes.TrimSuffix(text.Bytes(), []byte("\n")), orJSON(contentType)}, nil
}

// DecodeData reads a payload into what target points to: JSON is parsed, *[]byte and *string get the bytes. No bytes at
// all leave the target alone. Errors tell none of the data.
func DecodeData(payload Payload, target any) error {
	switch target := target.(type) {
	case *[]byte:
		*target = payload.Data
		return nil
	case *string:
		if strings.HasPrefix(payload.ContentType, "text/") {
			*target = string(payload.Data)
			return nil
		}
	}
	if !isJSON(orJSON(payload.ContentType)) {
		return fmt.Errorf("a payload of %s cannot be read into %T", payload.ContentType, target)
	}
	if len(payload.Data) == 0 {
		return nil
	}
	return describeJSON(json.Unmarshal(payload.Data, target))
}

// describeJSON says what is wrong where, without what was found there: errors are stored in the clear.
func describeJSON(err error) error {
	var mismatch *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch):
		found, _, _ := strings.Cut(mismatch.Value, " ")
		field := mismatch.Field
		if field == "" {
			field = "payload"
		}
		return fmt.Errorf("%s: %s cannot be read into %s", field, found, mismatch.Type)
	case errors.As(err, &syntax):
		return fmt.Errorf("the payload is not JSON: it breaks at byte %d", syntax.Offset)
	default:
		return errors.New("the payload cannot be read into the declared type")
	}
}

func orJSON(contentType string) string {
	if contentType == "" {
		return JSON
	}
	return contentType
}

// isJSON tells JSON media types (RFC 6839) from others, whatever their parameters.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return mediaType == JSON || strings.HasSuffix(mediaType, "+json")
}
