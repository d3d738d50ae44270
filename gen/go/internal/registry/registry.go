// Package registry holds plugmux's own protos apart from those of the process.
//
// protobuf-go keeps all files and types of a program in global registries and
// panics where two have one name. The wire fixes names such as
// plugins/v1/plugins.proto, which a user's own proto may have too.
package registry

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Files holds our files. It finds what they import, such as
// google/protobuf/timestamp.proto, among the files of the process.
var Files = &files{own: new(protoregistry.Files)}

// Types holds our messages and enums.
var Types = new(protoregistry.Types)

type files struct {
	own *protoregistry.Files
}

// RegisterFile adds one of our files.
func (f *files) RegisterFile(file protoreflect.FileDescriptor) error {
	return f.own.RegisterFile(file)
}

// FindFileByPath finds a file of ours, or else of the process.
func (f *files) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if file, err := f.own.FindFileByPath(path); err == nil {
		return file, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName finds a declaration of ours, or else of the process.
func (f *files) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if descriptor, err := f.own.FindDescriptorByName(name); err == nil {
		return descriptor, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}
