package manifest

// Kind says where a kind of workload keeps its pod templates. It is data: a
// new kind is a new line here, or a user's own in the configuration.
type Kind struct {
	Group string // "" is the core group
	Kind  string
	// Templates are the places of pod templates: paths to what holds `metadata`
	// and `spec` of the pod. "" is the object itself. A `[*]` at the end goes
	// through a list.
	Templates []Template
}

// Template is one place of a pod template in a kind.
type Template struct {
	Path string
	// Role tells several templates of one object apart (leader, worker); "" where
	// there is one.
	Role string
}

func template(path string) []Template { return []Template{{Path: path}} }

// BuiltinKinds returns the kinds that make pods in every cluster.
func BuiltinKinds() []Kind {
	return []Kind{
		{"", "Pod", template("")},
		{"", "PodTemplate", template("template")},
		{"", "ReplicationController", template("spec.template")},
		{"apps", "Deployment", template("spec.template")},
		{"apps", "StatefulSet", template("spec.template")},
		{"apps", "DaemonSet", template("spec.template")},
		{"apps", "ReplicaSet", template("spec.template")},
		{"batch", "Job", template("spec.template")},
		{"batch", "CronJob", template("spec.jobTemplate.spec.template")},
	}
}

// Scheme finds the kind of an object. It is immutable.
type Scheme struct {
	kinds map[[2]string]Kind
	types *typeChecker
}

// NewScheme returns a scheme of the given kinds; of two with the same group and
// kind the later wins.
func NewScheme(kinds ...Kind) *Scheme {
	s := &Scheme{kinds: make(map[[2]string]Kind, len(kinds)), types: newTypeChecker()}
	for _, k := range kinds {
		s.kinds[[2]string{k.Group, k.Kind}] = k
	}
	return s
}
