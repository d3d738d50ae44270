package main

// report is what was found out about one plugin.
type report struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Pattern  string   `json:"pattern,omitempty"`
	Services []string `json:"services"`
	Secrets  []string `json:"secrets"`
	Audited  int      `json:"audited"`
	Checks   []result `json:"checks"`
}

type result struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (r *report) check(name string, run func() error) {
	found := result{Name: name, OK: true}
	if err := run(); err != nil {
		found.OK, found.Error = false, err.Error()
	}
	r.Checks = append(r.Checks, found)
}

func (r *report) ok() bool {
	for _, result := range r.Checks {
		if !result.OK {
			return false
		}
	}
	return true
}
