package apiserver

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// readyTimeout bounds the time until the API server answers.
const readyTimeout = 90 * time.Second

// Server is a running etcd and API server, with controllers where they are
// started.
type Server struct {
	bin   Binaries
	dir   string
	url   string
	token string
	flags []string // of the API server
	procs []*process
}

// process is a started program; ended is closed when it is gone.
type process struct {
	*os.Process
	name  string
	ended chan struct{}
}

// Kubeconfig is the path of the administrator's configuration.
func (s *Server) Kubeconfig() string { return filepath.Join(s.dir, "kubeconfig") }

// Start runs both in dir, an empty folder, and returns when the API server is
// ready. The API server gets the flags too. They outlive the process that started them: see Stop and StopIn.
func Start(ctx context.Context, bin Binaries, dir string, flags ...string) (*Server, error) {
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, url: fmt.Sprintf("https://127.0.0.1:%d", ports[2]), token: rand.Text()}
	if err := s.writeFiles(); err != nil {
		return nil, err
	}
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	err = s.launch(bin.path("etcd"), "--data-dir", s.file("etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	s.flags = []string{
		"--etcd-servers", client,
		"--bind-address=127.0.0.1", "--endpoint-reconciler-type=none", "--secure-port", fmt.Sprint(ports[2]), "--cert-dir", s.file("certs"),
		"--token-auth-file", s.file("tokens.csv"), "--authorization-mode=Node,RBAC", "--anonymous-auth=false",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file", s.file("sa.key"),
		"--service-account-signing-key-file", s.file("sa.key"), "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true",
	}
	s.flags = append(s.flags, flags...)
	if err == nil {
		err = s.launch(bin.path("kube-apiserver"), s.flags...)
	}
	if err == nil {
		err = s.awaitReady(ctx)
	}
	if err == nil {
		err = s.writeKubeconfig()
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// launch starts a program in a session of its own, and notes its pid.
func (s *Server) launch(path string, args ...string) error {
	name := filepath.Base(path)
	log, err := os.Create(s.file(name + ".log"))
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(path, args...) //nolint:noctx // it outlives this call, and in `up` this process
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{cmd.Process, name, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	s.procs = append(s.procs, p)
	return os.WriteFile(s.file(name+".pid"), fmt.Append(nil, cmd.Process.Pid), 0o600)
}

func (s *Server) writeFiles() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making the service accounts' key: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return errors.Join(
		os.WriteFile(s.file("sa.key"), block, 0o600),
		os.WriteFile(s.file("tokens.csv"), []byte(s.token+`,admin,admin,system:masters`+"\n"), 0o600),
	)
}

// writeKubeconfig trusts the certificate that the API server made for itself.
func (s *Server) writeKubeconfig() error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
`, s.url, s.file("certs/apiserver.crt"), s.token)
	return os.WriteFile(s.Kubeconfig(), []byte(text), 0o600)
}

// awaitReady polls /readyz. The certificate is not there before the server is,
// and the token is only good here.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+s.token)
		if res, err := client.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		for _, p := range s.procs {
			select {
			case <-p.ended:
				return fmt.Errorf("%s ended early:\n%s", p.name, s.lastWords(p.name))
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready after %s:\n%s", readyTimeout, s.lastWords("kube-apiserver"))
		}
	}
}

// lastWords is the end of a program's log.
func (s *Server) lastWords(name string) string {
	text, err := os.ReadFile(s.file(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// KillAPIServer ends the API server without a warning, as a crash does.
func (s *Server) KillAPIServer() error {
	for i, p := range s.procs {
		if p.name == "kube-apiserver" {
			s.procs = slices.Delete(s.procs, i, i+1)
			err := p.Kill()
			<-p.ended
			return err
		}
	}
	return errors.New("ending the API server: it does not run")
}

// StartAPIServer starts it again after KillAPIServer, with the same port, and
// returns when it is ready, or at once where await is false.
func (s *Server) StartAPIServer(ctx context.Context, await bool) error {
	if err := s.launch(s.bin.path("kube-apiserver"), s.flags...); err != nil || !await {
		return err
	}
	return s.awaitReady(ctx)
}

// StartControllers runs the controllers that make pods, ServiceAccounts and
// tokens, each with its own account as a cluster has it.
func (s *Server) StartControllers() error {
	return s.launch(s.bin.path("kube-controller-manager"), "--kubeconfig", s.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
		"--use-service-account-credentials=true", "--service-account-private-key-file", s.file("sa.key"), "--root-ca-file", s.file("certs/apiserver.crt"),
		"--concurrent-deployment-syncs=2", "--kube-api-qps=200", "--kube-api-burst=400")
}

// Kubectl is the command kubectl with arguments, as the administrator.
func (s *Server) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, s.bin.path("kubectl"), append([]string{"--kubeconfig", s.Kubeconfig()}, args...)...)
}

// Stop ends every program and waits for them. The folder stays.
func (s *Server) Stop() error {
	for i := len(s.procs) - 1; i >= 0; i-- {
		_ = s.procs[i].Kill()
		<-s.procs[i].ended
	}
	s.procs = nil
	return nil
}

// StopIn ends what an earlier process started in dir, and removes the folder.
func StopIn(dir string) error {
	for _, name := range []string{"agent-sandbox-controller", "kube-controller-manager", "kube-apiserver", "etcd"} {
		text, err := os.ReadFile(filepath.Join(dir, name+".pid"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var pid int
		if _, scan := fmt.Sscan(string(text), &pid); err != nil || scan != nil {
			return fmt.Errorf("reading the pid of %s: %w", name, errors.Join(err, scan))
		}
		// The number may be another program's by now.
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && filepath.Base(exe) == name {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				return fmt.Errorf("ending %s: %w", name, err)
			}
		}
	}
	return os.RemoveAll(dir)
}

// freePorts asks the kernel for n ports of loopback that nobody uses.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
