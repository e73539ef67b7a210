package rules

import (
	"hash/maphash"
	"math"
	"regexp"
	"slices"
	"sync"
)

// maxPods bounds for how many pods matches are remembered.
const maxPods = 1 << 12

// memo remembers what the catalogue's rules matched on a pod's content: clusters
// and repositories repeat most of their pods. It is safe for concurrent use.
type memo struct {
	rules int
	seeds [2]maphash.Seed
	mu    sync.Mutex
	pods  map[digest]*verdicts
}

// digest is the content of a pod: two hashes under seeds that nobody outside of
// the process knows, so that no manifest can be made to collide with another.
type digest [2]uint64

// verdicts are the matches of the rules that were asked for, on one content.
type verdicts struct {
	mu    sync.Mutex
	known []verdict // by the rule's position
}

type verdict struct {
	asked   bool
	matches []Match
}

func newMemo(rules int) *memo {
	return &memo{rules: rules, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, pods: map[digest]*verdicts{}}
}

// of returns the verdicts on a pod's content.
func (m *memo) of(content ...any) *verdicts {
	var d digest
	for _, c := range content {
		h := m.hash(c)
		d[0], d[1] = d[0]*31+h[0], d[1]*31+h[1]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.pods[d]
	if !ok {
		if len(m.pods) >= maxPods {
			clear(m.pods)
		}
		v = &verdicts{known: make([]verdict, m.rules)}
		m.pods[d] = v
	}
	return v
}

// get returns the matches of the rule at a position, which it asks for once.
func (v *verdicts) get(rule int, ask func() ([]Match, error)) ([]Match, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := &v.known[rule]
	if known.asked {
		return known.matches, nil
	}
	matches, err := ask()
	if err == nil {
		*known = verdict{true, matches}
	}
	return matches, err
}

// hash of decoded JSON. The entries of a mapping have no order.
func (m *memo) hash(v any) digest {
	switch x := v.(type) {
	case string:
		return m.text('s', x)
	case map[string]any:
		sum := digest{uint64(len(x)), 'm'}
		for k, e := range x {
			key, value := m.text('k', k), m.hash(e)
			for i := range sum {
				sum[i] += mix(key[i], value[i])
			}
		}
		return sum
	case []any:
		sum := digest{uint64(len(x)), 'l'}
		for _, e := range x {
			value := m.hash(e)
			for i := range sum {
				sum[i] = mix(sum[i], value[i])
			}
		}
		return sum
	case bool:
		if x {
			return m.number('b', 1)
		}
		return m.number('b', 0)
	case int64:
		return m.number('i', uint64(x))
	case float64:
		return m.number('f', math.Float64bits(x))
	}
	return m.number('0', 0)
}

// text hashes a string with both seeds.
func (m *memo) text(kind byte, s string) digest {
	return digest{mix(maphash.String(m.seeds[0], s), uint64(kind)), mix(maphash.String(m.seeds[1], s), uint64(kind))}
}

func (m *memo) number(kind byte, n uint64) digest {
	return m.text(kind, string([]byte{kind, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), byte(n >> 32), byte(n >> 40), byte(n >> 48), byte(n >> 56)}))
}

// mix folds two hashes into one, in that order.
func mix(a, b uint64) uint64 {
	const k = 0x9E3779B97F4A7C15
	a = (a ^ b*k) * 0xD6E8FEB86659FD93
	return a ^ a>>32
}

// seeWhole returns the rules whose answer may depend on more of a pod than its
// spec.
func (c *Catalogue) seeWhole() ruleSet {
	all := slices.ContainsFunc(c.Variables, func(v Variable) bool { return beyondSpec(v.Expression) })
	set := newRuleSet(len(c.Rules))
	for i := range c.Rules {
		if all || c.Rules[i].seesWhole() {
			set.add(i)
		}
	}
	return set
}

func (r *Rule) seesWhole() bool {
	return beyondSpec(r.If) || slices.ContainsFunc(r.Any, func(a Alternative) bool {
		outside := func(at string) bool { return !inSpec.MatchString(at) }
		return beyondSpec(a.When) || beyondSpec(a.Absent) || a.Each == "pod" && slices.ContainsFunc(a.At, outside)
	})
}

// The forms of an expression's mention of the pod, and those of its spec alone.
var (
	ofObject = regexp.MustCompile(`\bobject\b`)
	ofSpec   = regexp.MustCompile(`\bobject\.\??spec\b`)
	inSpec   = regexp.MustCompile(`^spec\b`)
)

// beyondSpec reports whether an expression mentions the pod in any other form
// than that of its spec; in doubt it does.
func beyondSpec(expr string) bool {
	return len(ofObject.FindAllStringIndex(expr, -1)) != len(ofSpec.FindAllStringIndex(expr, -1))
}
