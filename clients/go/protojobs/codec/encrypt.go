package codec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

const (
	keyBytes    = 32
	nonceBytes  = 12
	tagBytes    = 16
	queueBound  = 1 // bit of the flags
	encryptInfo = "protojobs.v1 encrypt"
	nonceInfo   = "protojobs.v1 nonce"
)

var keyIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// EncryptOptions say how a codec encrypts.
type EncryptOptions struct {
	Active       string // id of the key that encrypts; may be left out where there is one
	UnboundQueue bool   // lets operators move encrypted jobs between queues
	Required     bool   // refuses what is not encrypted: set it once all producers encrypt
}

// Encrypt encrypts and authenticates by AES-256-GCM. Make it by NewEncrypt.
//
// A payload is bound to its kind and queue, a result or checkpoint to its kind and job: elsewhere it does not decrypt. Two
// jobs with one payload look different; the size of a payload can be seen.
type Encrypt struct {
	options EncryptOptions
	keys    map[string]key
}

type key struct {
	aead  cipher.AEAD
	nonce []byte
}

// NewEncrypt makes the codec of some keys: 32 random bytes by an id of 1 to 64 of [A-Za-z0-9._-], which is stored in the
// clear. To rotate, give all readers the new key beside the old one, then make it active, and drop the old one when
// nothing that it encrypted is left.
func NewEncrypt(keys map[string][]byte, options EncryptOptions) (*Encrypt, error) {
	if options.Active == "" {
		if len(keys) != 1 {
			return nil, errors.New("codec: name the active key")
		}
		options.Active = slices.Collect(maps.Keys(keys))[0]
	}
	made := &Encrypt{options: options, keys: map[string]key{}}
	for id, secret := range keys {
		if !keyIDs.MatchString(id) {
			return nil, errors.New("codec: an id of a key is 1 to 64 of A-Z a-z 0-9 . _ -")
		}
		if len(secret) != keyBytes {
			return nil, fmt.Errorf("codec: key %s must have %d bytes", id, keyBytes)
		}
		each, err := newKey(secret)
		if err != nil {
			return nil, err
		}
		made.keys[id] = each
	}
	if _, has := made.keys[options.Active]; !has {
		return nil, errors.New("codec: the active key is not among the keys")
	}
	return made, nil
}

func newKey(secret []byte) (key, error) {
	// The key is uniformly random, so nothing is extracted.
	encrypts, err := hkdf.Expand(sha256.New, secret, encryptInfo, keyBytes)
	if err != nil {
		return key{}, err
	}
	nonces, err := hkdf.Expand(sha256.New, secret, nonceInfo, keyBytes)
	if err != nil {
		return key{}, err
	}
	block, err := aes.NewCipher(encrypts)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCM(block)
	return key{aead, nonces}, err
}

// String names the active key, and no secret.
func (e *Encrypt) String() string { return fmt.Sprintf("codec.Encrypt(%s)", e.options.Active) }

// GoString is String: the keys are in no dump.
func (e *Encrypt) GoString() string { return e.String() }

// Encode returns the encrypted payload. The same payload of the same job gives the same bytes.
func (e *Encrypt) Encode(payload protojobs.Payload, of protojobs.PayloadContext) (protojobs.Payload, error) {
	content, err := pack(payload)
	if err != nil {
		return protojobs.Payload{}, err
	}
	flags := byte(queueBound)
	if e.options.UnboundQueue {
		flags = 0
	}
	id := e.options.Active
	head := append(prefix(methodAESGCM), flags, byte(len(id)))
	head = append(head, id...)
	active, associated := e.keys[id], slices.Concat(head, bound(of, flags))
	nonce := active.nonceOf(associated, of.JobID, content)
	return enclose(active.aead.Seal(slices.Concat(head, nonce), nonce, content, associated)), nil
}

// Decode undoes Encode. Fails with a *protojobs.UndecodableError.
func (e *Encrypt) Decode(payload protojobs.Payload, of protojobs.PayloadContext) (protojobs.Payload, error) {
	method, err := methodOf(payload)
	if err != nil {
		return protojobs.Payload{}, err
	}
	if method != methodAESGCM {
		if e.options.Required && (len(payload.Data) > 0 || of.Use == protojobs.UsePayload) {
			return protojobs.Payload{}, undecodable("NOT_ENCRYPTED", fmt.Sprintf("the %s is not encrypted", of.Use))
		}
		return payload, nil
	}
	body := bodyOf(payload)
	if len(body) < 2 || body[0]&^queueBound != 0 {
		return protojobs.Payload{}, corrupt()
	}
	end := 2 + int(body[1])
	if len(body) < end+nonceBytes+tagBytes || !keyIDs.Match(body[2:end]) {
		return protojobs.Payload{}, corrupt()
	}
	id := string(body[2:end])
	known, has := e.keys[id]
	if !has {
		return protojobs.Payload{}, undecodable("UNKNOWN_KEY", fmt.Sprintf("there is no key %s here", id))
	}
	associated := slices.Concat(prefix(methodAESGCM), body[:end], bound(of, body[0]))
	content, err := known.aead.Open(nil, body[end:end+nonceBytes], body[end+nonceBytes:], associated)
	if err != nil {
		return protojobs.Payload{}, undecodable("NOT_AUTHENTIC", "these bytes were changed, or belong to another key, kind, queue or job")
	}
	return unpack(content)
}

// nonceOf is not random: a repeated dispatch must be the same bytes. Like a random one, it repeats for other content with
// a chance of 2^-96 per pair.
func (k key) nonceOf(associated []byte, jobID string, content []byte) []byte {
	digest := hmac.New(sha256.New, k.nonce)
	sizes := binary.BigEndian.AppendUint32(nil, uint32(len(associated)))
	digest.Write(binary.BigEndian.AppendUint32(sizes, uint32(len(jobID))))
	digest.Write(associated)
	digest.Write([]byte(jobID))
	digest.Write(content)
	return digest.Sum(nil)[:nonceBytes]
}

// bound is what the bytes belong to. No name holds a line feed, so no two contexts read alike.
func bound(of protojobs.PayloadContext, flags byte) []byte {
	queue, jobID := "", of.JobID
	if of.Use == protojobs.UsePayload {
		jobID = ""
		if flags&queueBound != 0 {
			queue = of.Queue
		}
	}
	return []byte(strings.Join([]string{string(of.Use), of.Kind, queue, jobID}, "\n"))
}
