package podrun

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/guest"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// client is connected to a guest agent in this process: its commands are
// children of the test, without a boundary.
func client(t *testing.T) *agent.Client {
	t.Helper()
	host, inside := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = guest.NewServer([]string{"PATH=" + os.Getenv("PATH"), "HOME=/"}).Serve(inside)
	}()
	c, err := agent.NewClient(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); <-done })
	return c
}

// output collects what a pod's containers write and what is said of them.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	notices []string
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.notices, "\n")
}

func sh(role pod.Role, name, script string) pod.Container {
	return pod.Container{Name: name, Role: role, Command: []string{"sh", "-c", script}}
}

// runPod runs p; change may complete the request.
func runPod(t *testing.T, p *pod.Pod, change func(*Request)) (code int, out *output) {
	t.Helper()
	out = &output{}
	if p.Grace == 0 {
		p.Grace = 5 * time.Second
	}
	for i := range p.Containers {
		p.Containers[i].Dir = "/"
	}
	req := Request{
		Pod:    p,
		Output: func(pod.Container) (io.Writer, io.Writer) { return out, io.Discard },
		Notice: func(m string) {
			out.mu.Lock()
			defer out.mu.Unlock()
			out.notices = append(out.notices, m)
		},
		Backoff: 10 * time.Millisecond,
	}
	if change != nil {
		change(&req)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code, err := Run(ctx, client(t), req)
	if err != nil {
		t.Fatalf("Run: %v\n%s\n%s", err, out, out.said())
	}
	return code, out
}

func TestOrder(t *testing.T) {
	dir := t.TempDir()
	code, out := runPod(t, &pod.Pod{Containers: []pod.Container{
		sh(pod.Init, "one", "echo one"),
		sh(pod.Sidecar, "side", "echo side > "+dir+"/side; trap 'echo side ends; exit 0' TERM; while :; do sleep 0.02; done"),
		sh(pod.Init, "two", "until test -s "+dir+"/side; do sleep 0.01; done; echo two"),
		sh(pod.Main, "a", "echo main; exit 0"),
		sh(pod.Main, "b", "sleep 0.1; echo last; exit 4"),
	}}, nil)
	if got, want := out.String(), "one\ntwo\nmain\nlast\nside ends\n"; code != 4 || got != want {
		t.Errorf("code %d, output %q, want 4, %q", code, got, want)
	}
}

func TestInitFails(t *testing.T) {
	code, out := runPod(t, &pod.Pod{Containers: []pod.Container{
		sh(pod.Init, "check", "exit 3"), sh(pod.Main, "a", "echo ran"),
	}}, nil)
	if code != 3 || out.String() != "" || !strings.Contains(out.said(), "init container check failed with exit code 3") {
		t.Errorf("code %d, %q, %q", code, out, out.said())
	}
}

func TestRestart(t *testing.T) {
	for _, tt := range []struct {
		policy pod.Restart
		runs   int
		code   int
	}{
		{"", 1, 1},
		{pod.RestartNever, 1, 1},
		{pod.RestartOnFailure, 3, 0},
	} {
		t.Run(string(tt.policy), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "runs")
			var running []bool // what is told of the command, each time
			code, out := runPod(t, &pod.Pod{Restart: tt.policy, Containers: []pod.Container{
				sh(pod.Main, "a", fmt.Sprintf("echo run | tee -a %s; test $(wc -l < %s) = 3", file, file)),
			}}, func(r *Request) {
				r.Running = func(_ pod.Container, p *agent.Process) { running = append(running, p != nil) }
			})
			if want := slices.Repeat([]bool{true, false}, tt.runs); !slices.Equal(running, want) {
				t.Errorf("told that it runs %v, want %v", running, want)
			}
			if n := strings.Count(out.String(), "run"); n != tt.runs || code != tt.code {
				t.Errorf("%d runs, code %d, want %d, %d", n, code, tt.runs, tt.code)
			}
		})
	}
}

// Always goes on until the pod is ended.
func TestAlways(t *testing.T) {
	signals := make(chan os.Signal, 1)
	file := filepath.Join(t.TempDir(), "runs")
	go func() {
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if b, _ := os.ReadFile(file); bytes.Count(b, []byte("\n")) >= 3 {
				break
			}
		}
		signals <- syscall.SIGTERM
	}()
	_, out := runPod(t, &pod.Pod{Restart: pod.RestartAlways, Containers: []pod.Container{
		sh(pod.Main, "a", "echo run >> "+file),
	}}, func(r *Request) { r.Signals = signals })
	if !strings.Contains(out.said(), "container a ended with exit code 0, and is started again in 10ms") {
		t.Errorf("said %q", out.said())
	}
}

func TestEnd(t *testing.T) {
	stubborn := sh(pod.Main, "a", "trap '' TERM INT; echo up; while :; do sleep 0.02; done")
	hook := sh(pod.Main, "a", "trap 'echo term; exit 7' TERM; echo up; while :; do sleep 0.02; done")
	hook.PreStop = &pod.Action{Exec: []string{"sh", "-c", "echo hook >&2"}}
	for _, tt := range []struct {
		name      string
		container pod.Container
		grace     time.Duration
		signals   []syscall.Signal
		code      int
		out       string
	}{
		{"handled", hook, 5 * time.Second, []syscall.Signal{syscall.SIGTERM}, 7, "up\nterm\n"},
		{"after its grace", stubborn, 200 * time.Millisecond, []syscall.Signal{syscall.SIGTERM}, 137, "up\n"},
		{"at once", stubborn, time.Hour, []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 130, "up\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signals := make(chan os.Signal, 2)
			started := make(chan struct{})
			var once sync.Once
			go func() {
				<-started
				for _, s := range tt.signals {
					signals <- s
				}
			}()
			code, out := runPod(t, &pod.Pod{Grace: tt.grace, Containers: []pod.Container{tt.container}}, func(r *Request) {
				r.Signals = signals
				inner := r.Output
				r.Output = func(c pod.Container) (io.Writer, io.Writer) {
					w, _ := inner(c)
					seen := writerFunc(func(p []byte) (int, error) {
						defer once.Do(func() { close(started) })
						return w.Write(p)
					})
					return seen, io.Discard
				}
			})
			if code != tt.code || out.String() != tt.out {
				t.Errorf("code %d, output %q, want %d, %q", code, out, tt.code, tt.out)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Processes of these tests are this process's own children: end what the
// stubborn ones left.
func TestMain(m *testing.M) {
	code := m.Run()
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, c := range children {
		b, _ := os.ReadFile(c)
		for pid := range strings.FieldsSeq(string(b)) {
			var n int
			if _, err := fmt.Sscan(pid, &n); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
	}
	os.Exit(code)
}

const server = `
import http.server, sys, time
began = time.time()
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path == "/ready?full" and self.headers["X-Ask"] == "1" and time.time() - began > 0.3
        self.send_response(200 if ok else 503)
        self.end_headers()
        self.wfile.write(b"warming up")
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestUntilReady(t *testing.T) {
	port := freePort(t)
	quick := func(a pod.Action) *pod.Probe {
		return &pod.Probe{Action: a, Period: 50 * time.Millisecond, Timeout: 5 * time.Second, Success: 1, Failure: 100}
	}
	web := pod.Container{Name: "web", Role: pod.Main, Command: []string{"python3", "-c", server, fmt.Sprint(port)}}
	web.Startup = quick(pod.Action{Port: port})
	web.Readiness = quick(pod.Action{HTTP: &pod.HTTP{Port: port, Path: "/ready?full", Headers: [][2]string{{"X-Ask", "1"}}}})
	web.Readiness.Failure = 1
	worker := sh(pod.Main, "worker", "exec sleep 60")
	worker.Readiness = quick(pod.Action{Exec: []string{"true"}})
	code, out := runPod(t, &pod.Pod{Containers: []pod.Container{web, worker, sh(pod.Main, "job", "exit 0")}}, func(r *Request) { r.UntilReady = true })
	if code != 0 {
		t.Errorf("code %d", code)
	}
	for _, want := range []string{"container web is ready", "container worker is ready", "all containers are ready"} {
		if !strings.Contains(out.said(), want) {
			t.Errorf("not said: %q in %q", want, out.said())
		}
	}
}

func TestNeverReady(t *testing.T) {
	for name, c := range map[string]pod.Container{"ends": sh(pod.Main, "a", "exit 9")} {
		c.Readiness = &pod.Probe{Action: pod.Action{Exec: []string{"false"}}, Period: time.Second, Timeout: time.Second, Success: 1, Failure: 1}
		if code, out := runPod(t, &pod.Pod{Containers: []pod.Container{c}}, func(r *Request) { r.UntilReady = true }); code != 9 {
			t.Errorf("%s: code %d, %q", name, code, out.said())
		}
	}
}

func TestLiveness(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sick")
	a := sh(pod.Main, "a", "if test -e "+file+"; then exit 0; fi; touch "+file+"; exec sleep 60")
	a.Liveness = &pod.Probe{Action: pod.Action{Exec: []string{"sh", "-c", "echo sick; ! test -e " + file}}, Period: 20 * time.Millisecond, Timeout: 5 * time.Second, Success: 1, Failure: 2}
	code, out := runPod(t, &pod.Pod{Restart: pod.RestartOnFailure, Containers: []pod.Container{a}}, nil)
	if code != 0 || !strings.Contains(out.said(), "container a is ended: liveness probe failed: exit code 1: sick") {
		t.Errorf("code %d, %q", code, out.said())
	}
}

func TestStartupFails(t *testing.T) {
	a := sh(pod.Main, "a", "exec sleep 60")
	a.Startup = &pod.Probe{Action: pod.Action{Exec: []string{"sleep", "60"}}, Period: 10 * time.Millisecond, Timeout: 50 * time.Millisecond, Success: 1, Failure: 2}
	code, out := runPod(t, &pod.Pod{Containers: []pod.Container{a}}, nil)
	if code != 143 || !strings.Contains(out.said(), "startup probe failed: no answer within 50ms") {
		t.Errorf("code %d, %q", code, out.said())
	}
}

func TestDeadline(t *testing.T) {
	if code, _ := runPod(t, &pod.Pod{Deadline: 100 * time.Millisecond, Containers: []pod.Container{sh(pod.Main, "a", "exec sleep 60")}}, nil); code != 124 {
		t.Errorf("code %d, want 124", code)
	}
}

func TestNotFound(t *testing.T) {
	code, out := runPod(t, &pod.Pod{Containers: []pod.Container{{Name: "a", Role: pod.Main, Command: []string{"no-such-program"}}}}, nil)
	if code != 127 || !slices.ContainsFunc(out.notices, func(s string) bool { return strings.Contains(s, "not found") }) {
		t.Errorf("code %d, %q", code, out.said())
	}
}

// TestJoin: commands, hooks and probes run where their own container is, and each
// container is left before the next one that waits for its end.
func TestJoin(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	call := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, what)
	}
	main := sh(pod.Main, "main", "until test -e $0; do sleep 0.01; done")
	main.Args = []string{filepath.Join(t.TempDir(), "started")}
	main.PostStart = &pod.Action{Exec: []string{"touch", main.Args[0]}}
	first := sh(pod.Init, "first", "true")
	first.Dir, main.Dir = "/", "/"
	inside := client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code, err := Run(ctx, nil, Request{
		Pod:    &pod.Pod{Containers: []pod.Container{first, main}, Grace: time.Second},
		Output: func(pod.Container) (io.Writer, io.Writer) { return io.Discard, io.Discard },
		Notice: func(m string) { t.Log(m) },
		Join: func(_ context.Context, c pod.Container) (*agent.Client, func() error, error) {
			call("join " + c.Name)
			return inside, func() error { call("leave " + c.Name); return nil }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"join first", "leave first", "join main", "leave main"}; code != 0 || !slices.Equal(calls, want) {
		t.Errorf("code %d, calls %q, want %q", code, calls, want)
	}
}
