// Package codec compresses and encrypts payloads, results and checkpoints on their way to the server and back.
//
//	keys := map[string][]byte{"2026-11": key} // 32 random bytes
//	encrypt, err := codec.NewEncrypt(keys, codec.EncryptOptions{})
//	...
//	options.Codec = codec.Chain(codec.NewCompress(), encrypt)
//
// What it makes is defined byte by byte in docs/protocol.md, so clients in other languages read it.
package codec

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

const (
	methodZlib   = 1
	methodGzip   = 2
	methodAESGCM = 3
)

var magic = []byte{0xF5, 'P', 'J', 1}

// Chain encodes by its codecs in order, and decodes in reverse order. Compress before you encrypt: ciphertext does not
// shrink.
func Chain(codecs ...protojobs.Codec) protojobs.Codec { return chain(codecs) }

type chain []protojobs.Codec

func (c chain) Encode(payload protojobs.Payload, of protojobs.PayloadContext) (protojobs.Payload, error) {
	for _, each := range c {
		var err error
		if payload, err = each.Encode(payload, of); err != nil {
			return protojobs.Payload{}, err
		}
	}
	return payload, nil
}

func (c chain) Decode(payload protojobs.Payload, of protojobs.PayloadContext) (protojobs.Payload, error) {
	for _, each := range slices.Backward(c) {
		var err error
		if payload, err = each.Decode(payload, of); err != nil {
			return protojobs.Payload{}, err
		}
	}
	return payload, nil
}

// Compress packs what gets smaller by it; it reads zlib and gzip. Make it by NewCompress.
type Compress struct {
	Gzip     bool // instead of zlib
	MinBytes int  // payloads below it stay as they are
	MaxBytes int  // what decoding may unpack, so that no small payload fills the memory
}

// NewCompress packs payloads of 1 KiB and more by zlib, and unpacks up to 64 MiB.
func NewCompress() *Compress {
	return &Compress{MinBytes: 1024, MaxBytes: 64 * 1024 * 1024}
}

// Encode returns the packed payload, or the same one where that is no smaller.
func (c *Compress) Encode(payload protojobs.Payload, _ protojobs.PayloadContext) (protojobs.Payload, error) {
	if len(payload.Data) < c.MinBytes {
		return payload, nil
	}
	content, err := pack(payload)
	if err != nil {
		return protojobs.Payload{}, err
	}
	method := byte(methodZlib)
	if c.Gzip {
		method = methodGzip
	}
	packed := bytes.NewBuffer(prefix(method))
	var writer io.WriteCloser = zlib.NewWriter(packed)
	if c.Gzip {
		writer = gzip.NewWriter(packed) // without a time: the same payload is always the same bytes
	}
	// A buffer takes everything.
	_, _ = writer.Write(content)
	_ = writer.Close()
	if packed.Len() >= len(payload.Data) {
		return payload, nil
	}
	return enclose(packed.Bytes()), nil
}

// Decode undoes Encode. Fails with a *protojobs.UndecodableError.
func (c *Compress) Decode(payload protojobs.Payload, _ protojobs.PayloadContext) (protojobs.Payload, error) {
	method, err := methodOf(payload)
	if err != nil || (method != methodZlib && method != methodGzip) {
		return payload, err
	}
	content, err := c.unpacked(method, bytes.NewReader(bodyOf(payload)))
	if err != nil {
		return protojobs.Payload{}, err
	}
	return unpack(content)
}

func (c *Compress) unpacked(method byte, packed *bytes.Reader) ([]byte, error) {
	var reader io.Reader
	var err error
	if method == methodZlib {
		reader, err = zlib.NewReader(packed)
	} else {
		var member *gzip.Reader
		if member, err = gzip.NewReader(packed); err == nil {
			member.Multistream(false)
			reader = member
		}
	}
	if err != nil {
		return nil, corrupt()
	}
	content, err := io.ReadAll(io.LimitReader(reader, int64(c.MaxBytes)+1))
	switch {
	case err != nil:
		return nil, corrupt()
	case len(content) > c.MaxBytes:
		return nil, undecodable("TOO_LARGE", fmt.Sprintf("the payload unpacks to more than %d bytes", c.MaxBytes))
	case packed.Len() > 0:
		return nil, corrupt()
	}
	return content, nil
}

// pack puts media type and data together.
func pack(payload protojobs.Payload) ([]byte, error) {
	if len(payload.ContentType) > 255 {
		return nil, errors.New("codec: a media type has at most 128 bytes")
	}
	return slices.Concat([]byte{byte(len(payload.ContentType))}, []byte(payload.ContentType), payload.Data), nil
}

// unpack undoes pack.
func unpack(content []byte) (protojobs.Payload, error) {
	if len(content) < 1 || len(content) < 1+int(content[0]) {
		return protojobs.Payload{}, corrupt()
	}
	end := 1 + int(content[0])
	return protojobs.Payload{Data: content[end:], ContentType: string(content[1:end])}, nil
}

func prefix(method byte) []byte { return append(slices.Clone(magic), method) }

func enclose(envelope []byte) protojobs.Payload {
	return protojobs.Payload{Data: envelope, ContentType: protojobs.EnvelopeType}
}

// methodOf returns the method of an envelope; 0 for everything else.
//
// The media type tells. Results and checkpoints come as JSON, which no envelope is: there the first bytes tell.
func methodOf(payload protojobs.Payload) (byte, error) {
	switch payload.ContentType {
	case protojobs.EnvelopeType, protojobs.JSON, "":
		if len(payload.Data) > len(magic) && bytes.HasPrefix(payload.Data, magic) {
			return payload.Data[len(magic)], nil
		}
	}
	if payload.ContentType == protojobs.EnvelopeType {
		return 0, corrupt()
	}
	return 0, nil
}

func bodyOf(payload protojobs.Payload) []byte { return payload.Data[len(magic)+1:] }

func corrupt() error { return undecodable("CORRUPT", "the envelope is damaged") }

func undecodable(reason, message string) error {
	return &protojobs.UndecodableError{Reason: reason, Message: message}
}
