package guest

import (
	"errors"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/internal/archive"
)

// archivePath returns the request's path, with links followed as far as there
// is something.
func archivePath(r *http.Request) (string, error) {
	path := filepath.Join("/", r.URL.Query().Get("path"))
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && r.Method == http.MethodPut {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(dir, filepath.Base(path)), err
	}
	return real, err
}

func sendArchive(w http.ResponseWriter, r *http.Request) {
	path, err := archivePath(r)
	if err == nil {
		_, err = os.Lstat(path)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if _, err := archive.Pack(w, path); err != nil {
		// The answer has begun: cutting it is the only way to say so.
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own word for it
	}
}

// takeArchive unpacks with the rights of the sandbox's user, whose limits are
// the sandbox's own.
func takeArchive(w http.ResponseWriter, r *http.Request) {
	path, err := archivePath(r)
	if err == nil {
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() && r.URL.Query().Get("name") != "" {
			path = filepath.Join(path, filepath.Base(r.URL.Query().Get("name")))
		}
		_, err = archive.Unpack(r.Body, path, archive.Limits{Bytes: math.MaxInt64 - 1, Entries: math.MaxInt})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
