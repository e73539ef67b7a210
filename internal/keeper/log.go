//go:build linux

package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Names of streams in a log.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	// Notice is what Bulkhead says: denials, and how the sandbox ended.
	Notice = "bulkhead"
)

const (
	logFile = "log"
	oldLog  = "log.1"
	// maxLogBytes bounds each of the two files that a log consists of: an
	// endless printer costs no more disk than both.
	maxLogBytes = 8 << 20
	// maxLineBytes bounds one record as it is read back.
	maxLineBytes = 1 << 20
)

// Record is one piece of output: a line of the log, as JSON.
type Record struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	// Container is whose output it is, in a pod of several.
	Container string `json:"container,omitempty"`
	Data      []byte `json:"data"` // the guest's bytes: hostile
}

// log appends records. It never fails the writer: output that cannot be kept
// must not end the command.
type log struct {
	dir string

	mu   sync.Mutex
	file *os.File
	size int64
}

func openLog(dir string) (*log, error) {
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return &log{dir: dir, file: f}, nil
}

// stream is the writer of one stream.
func (l *log) stream(name string) io.Writer { return logStream{l, name, ""} }

type logStream struct {
	log             *log
	name, container string
}

func (s logStream) Write(data []byte) (int, error) {
	line, err := json.Marshal(Record{Time: time.Now().UTC(), Stream: s.name, Container: s.container, Data: data})
	if err != nil {
		return 0, err
	}
	s.log.append(append(line, '\n'))
	return len(data), nil
}

func (l *log) append(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(line)) > maxLogBytes {
		next, err := l.rotate()
		if err != nil {
			return
		}
		l.file.Close()
		l.file, l.size = next, 0
	}
	n, _ := l.file.Write(line)
	l.size += int64(n)
}

func (l *log) rotate() (*os.File, error) {
	current := filepath.Join(l.dir, logFile)
	if err := os.Rename(current, filepath.Join(l.dir, oldLog)); err != nil {
		return nil, err
	}
	return os.OpenFile(current, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// pollInterval is how often a log is looked at for more.
const pollInterval = 100 * time.Millisecond

// Logs calls each with every record that is kept. With follow it goes on until
// the sandbox is gone, ctx is over or each fails.
func (s *Store) Logs(ctx context.Context, e Entry, follow bool, each func(Record) error) error {
	for _, name := range []string{oldLog, logFile} {
		f, err := os.Open(filepath.Join(e.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the log of %s: %w", e.Name, err)
		}
		r := &tail{file: f, reader: bufio.NewReaderSize(f, 64<<10)}
		for follow && name == logFile {
			last := status(e.dir, e.State) != Running // before the read: nothing comes after it
			if err := r.records(each); err != nil {
				r.file.Close()
				return err
			}
			if last || ctx.Err() != nil {
				break
			}
			r.next(filepath.Join(e.dir, logFile))
			select {
			case <-time.After(pollInterval):
			case <-ctx.Done():
			}
		}
		err = r.records(each)
		r.file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// tail reads a file that grows and is replaced.
type tail struct {
	file   *os.File
	reader *bufio.Reader
	part   []byte // the beginning of a record that is not whole yet
}

// records passes on what is there.
func (t *tail) records(each func(Record) error) error {
	for {
		line, err := t.reader.ReadSlice('\n')
		t.part = append(t.part, line...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(t.part) <= maxLineBytes:
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the log: %w", err)
		}
		var r Record
		if json.Unmarshal(t.part, &r) == nil {
			if err := each(r); err != nil {
				return err
			}
		}
		t.part = t.part[:0]
	}
}

// next goes on with the new file when path names another one by now.
func (t *tail) next(path string) {
	there, err1 := os.Stat(path)
	here, err2 := t.file.Stat()
	if err1 != nil || err2 != nil || os.SameFile(there, here) {
		return
	}
	if f, err := os.Open(path); err == nil {
		t.file.Close()
		t.file, t.part = f, nil
		t.reader.Reset(f)
	}
}
