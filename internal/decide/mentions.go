package decide

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Mention is a place where a pod names a host that it talks to. It never has the
// text around the host, which may be secret.
type Mention struct {
	From *manifest.Object
	At   manifest.Path
	// What is the kind of place, in words: `env OPENAI_BASE_URL`.
	What string
	Host string // "" where it is in a Secret, which is not looked into
	Port int32  // 0 where it is not said
	// said: the port is written, and is not the default of a scheme.
	said bool
	// known: it is only meant where the input has a Service of the name.
	known bool
}

// Line is where it stands in its file.
func (m Mention) Line() int {
	pos, _ := m.From.Position(m.At)
	return pos.Line
}

// place is a text of a pod that may name hosts.
type place struct {
	from *manifest.Object
	at   manifest.Path
	what string
	// name is that of the variable or the flag.
	name, text string
	secret     bool // the text is in a Secret
	file       bool // the text is a file
}

// Bounds of what is looked at, a pod.
const (
	maxPlaces   = 4000
	maxMentions = 200
)

// mentions returns the hosts that a pod names, in the order of its fields.
func (ix *index) mentions(w *manifest.Workload, r patterns) []Mention {
	var out []Mention
	spec, _ := w.Pod["spec"].(map[string]any)
	eachContainer(spec, func(list string, i int, c map[string]any) {
		env := ix.variables(w, list, i, c)
		values := map[string]string{}
		for _, p := range env {
			values[p.name] = p.text
		}
		places := append(env, arguments(w, list, i, c)...)
		for _, p := range places[:min(len(places), maxPlaces)] {
			p.text = r.expand(p.text, values)
			out = append(out, r.mentions(p, values)...)
		}
	})
	for _, e := range ix.entries(w) {
		p := place{from: e.from, at: e.at(), what: fmt.Sprintf("key %s of ConfigMap %s", e.key, e.from.Name), text: e.text, file: true}
		out = append(out, r.mentions(p, nil)...)
	}
	return out[:min(len(out), maxMentions)]
}

// variables returns the environment of a container: its own, and what it takes
// from ConfigMaps and Secrets of the input.
func (ix *index) variables(w *manifest.Workload, list string, i int, c map[string]any) []place {
	var out []place
	for _, v := range ix.envFrom(c, w.Namespace) {
		out = append(out, place{from: v.from, at: v.at, what: "env " + v.name, name: v.name, text: v.value, secret: v.from.Kind == "Secret"})
	}
	env, _ := c["env"].([]any)
	for k, item := range env {
		e, _ := item.(map[string]any)
		name := str(e["name"])
		p := place{from: w.Source, at: w.ObjectPath(manifest.Path{"spec", list, i, "env", k}), what: "env " + name, name: name, text: str(e["value"])}
		if v, ok := manifest.Lookup(e, manifest.Path{"valueFrom", "configMapKeyRef"}); ok {
			ref, _ := v.(map[string]any)
			for _, o := range ix.settings[settingsKey{"ConfigMap", key{namespaceOf(w.Namespace), str(ref["name"])}}] {
				p.from, p.at, p.text = o, manifest.Path{"data", str(ref["key"])}, configData(o)[str(ref["key"])]
			}
		}
		_, p.secret = manifest.Lookup(e, manifest.Path{"valueFrom", "secretKeyRef"})
		out = append(out, p)
	}
	return out
}

// arguments returns the words of a container's command; a flag's value, in the
// same word or the next, has its name.
func arguments(w *manifest.Workload, list string, i int, c map[string]any) []place {
	var out []place
	for _, field := range []string{"command", "args"} {
		items, _ := c[field].([]any)
		flag := ""
		for k, item := range items {
			word := str(item)
			p := place{from: w.Source, at: w.ObjectPath(manifest.Path{"spec", list, i, field, k}), what: "an argument", name: flag, text: word}
			flag = ""
			if strings.HasPrefix(word, "-") {
				name, value, ok := strings.Cut(strings.TrimLeft(word, "-"), "=")
				if ok {
					p.name, p.text = name, value
				} else {
					flag = name
				}
				p.what = "argument --" + name
			}
			if p.name != "" && len(p.name) <= 60 && !strings.ContainsAny(p.name, " \n") {
				p.what = "argument --" + p.name
			} else if p.name != "" || strings.ContainsAny(p.what, " \n") {
				p.name, p.what = "", "an argument"
			}
			out = append(out, p)
		}
	}
	return out
}

// patterns find hosts in texts.
type patterns struct{ variable, urls, hostPorts, hostname, endpoint *regexp.Regexp }

// newPatterns compiles the patterns: when a policy set is made, and not whenever
// the program starts.
func newPatterns() patterns {
	const host = `([a-z0-9][a-z0-9.-]*)`
	return patterns{
		variable: regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}`),
		// A URL: its scheme, host and port. What is before the host is left out.
		urls: regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*)://(?:[^\s/@"'<>]*@)?` + host + `(?::([0-9]{1,5}))?`),
		// A host and its port, as `host:port` or, for programs such as nc, `host port`.
		hostPorts: regexp.MustCompile(`(?i)` + host + `[: ]([0-9]{1,5})\b`),
		hostname:  regexp.MustCompile(`(?i)^` + host + `$`),
		endpoint:  regexp.MustCompile(`(?i)host|addr|endpoint|ur[li]|server|service|broker|dsn|proxy`),
	}
}

// maxHost is how long a name in the DNS is at most.
const maxHost = 253

// expand replaces references to variables whose value is known, once, as the
// kubelet and a shell do.
func (r patterns) expand(text string, values map[string]string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	return r.variable.ReplaceAllStringFunc(text, func(ref string) string {
		if v := values[ref[2:len(ref)-1]]; v != "" && len(v) <= maxSetting {
			return v
		}
		return ref
	})
}

// mentions finds the hosts in a text. values are the variables beside it.
func (r patterns) mentions(p place, values map[string]string) []Mention {
	if p.secret {
		if r.endpoint.MatchString(p.name) {
			return []Mention{{From: p.from, At: p.at, What: p.what}}
		}
		return nil
	}
	text := p.text[:min(len(p.text), maxConfigText)]
	var out []Mention
	add := func(host string, port int32, said, known bool) {
		host = strings.ToLower(strings.TrimRight(host, ".-"))
		if len(host) <= maxHost && !local(host) && !slices.ContainsFunc(out, func(m Mention) bool { return m.Host == host && (m.Port == port || known) }) {
			out = append(out, Mention{From: p.from, At: p.at, What: p.what, Host: host, Port: port, said: said, known: known})
		}
	}
	for _, m := range r.urls.FindAllStringSubmatch(text, maxMentions) {
		port, said := number(m[3])
		if !said {
			if port, said = beside(p.name, values); !said {
				port = schemes()[strings.ToLower(m[1])]
			}
		}
		add(m[2], port, said, p.file && !strings.Contains(m[2], ".svc"))
	}
	for _, m := range r.hostPorts.FindAllStringSubmatch(text, maxMentions) {
		if port, ok := number(m[2]); ok {
			add(m[1], port, true, true)
		}
	}
	if text := strings.TrimSpace(text); !p.file && r.endpoint.MatchString(p.name) && r.hostname.MatchString(text) {
		port, said := beside(p.name, values)
		add(text, port, said, !strings.Contains(text, ".") || strings.Trim(text, "0123456789.") == "")
	}
	return out
}

// local reports whether a host is the pod itself, or stands for every address.
func local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.IsLoopback() || addr.IsUnspecified())
}

func number(s string) (int32, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int32(n), err == nil && n > 0
}

// beside returns the port in a variable beside the one for the host: REDIS_PORT
// for REDIS_HOST.
func beside(name string, values map[string]string) (int32, bool) {
	upper := strings.ToUpper(name)
	for _, end := range []string{"HOST", "HOSTNAME", "ADDR", "ADDRESS", "URL", "URI", "ENDPOINT", "SERVER", "SERVICE"} {
		if start, ok := strings.CutSuffix(upper, end); ok {
			if port, ok := number(values[start+"PORT"]); ok {
				return port, true
			}
		}
	}
	return 0, false
}

// schemes are the ports that URLs mean where they say none.
func schemes() map[string]int32 {
	return map[string]int32{
		"http": 80, "ws": 80, "https": 443, "wss": 443, "redis": 6379, "rediss": 6379, "postgres": 5432, "postgresql": 5432,
		"mysql": 3306, "mongodb": 27017, "amqp": 5672, "amqps": 5671, "nats": 4222, "bolt": 7687, "neo4j": 7687,
	}
}

// service splits a host into the name and namespace of a Service, as the
// cluster's DNS has them: `name`, `name.namespace`, `name.namespace.svc` and so on,
// also with the name of a pod before. certain: nothing but a Service is meant.
func service(host, namespace string) (at []key, certain bool) {
	host = strings.TrimSuffix(host, ".cluster.local")
	name, certain := strings.CutSuffix(host, ".svc")
	parts := strings.Split(name, ".")
	switch len(parts) {
	case 1:
		return []key{{namespaceOf(namespace), parts[0]}}, true
	case 2:
		return []key{{parts[1], parts[0]}, {namespaceOf(namespace), parts[1]}}, certain
	case 3:
		return []key{{parts[2], parts[1]}}, certain
	}
	return nil, certain
}
