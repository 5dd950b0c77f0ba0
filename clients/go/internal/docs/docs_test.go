// Package docs holds the documentation of the public packages against what they export.
package docs

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/proto-jobs/proto-jobs/clients/go/"

func TestEverythingThatIsExportedHasAComment(t *testing.T) {
	for _, name := range publicPackages(t) {
		t.Run(name, func(t *testing.T) {
			pkg := read(t, name)
			if pkg.Doc == "" {
				t.Errorf("package %s has no comment", name)
			}
			funcs := pkg.Funcs
			values := append(pkg.Consts, pkg.Vars...)
			for _, each := range pkg.Types {
				if each.Doc == "" {
					t.Errorf("type %s has no comment", each.Name)
				}
				funcs = append(append(funcs, each.Funcs...), each.Methods...)
				values = append(append(values, each.Consts...), each.Vars...)
			}
			for _, each := range funcs {
				if each.Doc == "" {
					t.Errorf("func %s%s has no comment", receiver(each), each.Name)
				}
			}
			for _, each := range values {
				if each.Doc == "" && !eachIsDescribed(each.Decl) {
					t.Errorf("%s have no comment", strings.Join(each.Names, ", "))
				}
			}
		})
	}
}

// publicPackages returns the directories of what others may import, without the generated code.
func publicPackages(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir("../../protojobs", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() != "internal" {
			names = append(names, path)
		} else if err == nil && entry.IsDir() {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil || len(names) < 4 {
		t.Fatalf("packages %v: %v", names, err)
	}
	return names
}

func read(t *testing.T, directory string) *doc.Package {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	paths, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(files, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	pkg, err := doc.NewFromFiles(files, parsed, module+filepath.Base(directory))
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

func receiver(of *doc.Func) string {
	if of.Recv == "" {
		return ""
	}
	return of.Recv + "."
}

// eachIsDescribed tells whether every exported name of a group has a comment of its own.
func eachIsDescribed(group *ast.GenDecl) bool {
	for _, spec := range group.Specs {
		value := spec.(*ast.ValueSpec)
		if value.Doc == nil && value.Comment == nil && ast.IsExported(value.Names[0].Name) {
			return false
		}
	}
	return true
}
