package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// saveStatic writes admission policies to the folders that an API server loads
// them from, with the configuration that names these. It returns the objects that
// are applied as ever.
func saveStatic(dir string, objects []policy.Object) ([]policy.Object, error) {
	if !filepath.IsAbs(dir) {
		return nil, console.UsageError(fmt.Errorf("%s is not an absolute path", dir), "the API server reads it: name the folder as it is on its host")
	}
	files, err := policy.Static(dir, objects)
	if err != nil {
		return nil, err
	}
	for _, f := range files.Files {
		path := filepath.Join(dir, f.Path)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, f.Text, 0o644)
		}
		if err != nil {
			return nil, fault.WithCode(fmt.Errorf("writing the policies: %w", err), fault.Usage)
		}
	}
	return files.Applied, nil
}
