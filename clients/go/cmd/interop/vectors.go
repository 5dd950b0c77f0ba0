package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1" // registers the messages
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// vectors reads each message of a directory as binary and as JSON: both are equal, and stay so when they are written again.
func vectors(_ context.Context, arguments []string) error {
	f := newFlags("vectors")
	dir := f.String("dir", "", "directory of the vectors and their index.json")
	if err := f.read(arguments); err != nil {
		return err
	}
	if *dir == "" {
		return exitError(2)
	}
	index, err := readIndex(*dir)
	if err != nil {
		return err
	}
	var failure error
	for _, each := range index {
		binary, text := each.check(*dir)
		emit("vector", line{"name": each.Name, "binary": binary == nil, "json": text == nil})
		for _, err := range []error{binary, text} {
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", each.Name, err)
				failure = exitError(1)
			}
		}
	}
	return failure
}

// vector names a message of the directory and its type.
type vector struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func readIndex(dir string) ([]vector, error) {
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var index struct {
		Vectors []vector `json:"vectors"`
	}
	err = json.Unmarshal(text, &index)
	return index.Vectors, err
}

func (v vector) check(dir string) (binary, text error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(v.Type))
	if err != nil {
		return err, err
	}
	fromBinary, fromText := kind.New().Interface(), kind.New().Interface()
	data, err := os.ReadFile(filepath.Join(dir, v.Name+".bin"))
	if err != nil {
		return err, err
	}
	if err := proto.Unmarshal(data, fromBinary); err != nil {
		return err, err
	}
	if binary = again(fromBinary, kind, proto.Marshal, proto.Unmarshal); binary != nil {
		return binary, binary
	}
	written, err := os.ReadFile(filepath.Join(dir, v.Name+".json"))
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(written, fromText); err != nil {
		return nil, err
	}
	if !proto.Equal(fromBinary, fromText) {
		return nil, fmt.Errorf("binary and JSON differ")
	}
	return nil, again(fromText, kind, protojson.Marshal, protojson.Unmarshal)
}

// again writes a message and reads it: it is the same.
func again(
	message proto.Message, kind protoreflect.MessageType,
	write func(proto.Message) ([]byte, error), read func([]byte, proto.Message) error,
) error {
	data, err := write(message)
	if err != nil {
		return err
	}
	copied := kind.New().Interface()
	if err := read(data, copied); err != nil {
		return err
	}
	if !proto.Equal(message, copied) {
		return fmt.Errorf("it is another one when it is written again")
	}
	return nil
}
