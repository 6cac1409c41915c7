package packaging

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"gopkg.in/yaml.v3"

	"licenseagent.example/platform/paths"
)

// mount is how a container gets a folder of the host, in either file.
type mount struct {
	source, target string
	readOnly       bool
	needed         bool // the container does not start without it
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile("container/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func compose(t *testing.T) (m mount, user string) {
	t.Helper()
	var f struct {
		Services map[string]struct {
			User    string
			Volumes []struct {
				Type, Source, Target string
				ReadOnly             bool `yaml:"read_only"`
				Bind                 struct {
					Create *bool `yaml:"create_host_path"`
				}
			}
		}
	}
	read(t, "compose.yaml", &f)
	app := f.Services["app"]
	if len(app.Volumes) != 1 || app.Volumes[0].Type != "bind" {
		t.Fatalf("%+v", app)
	}
	v := app.Volumes[0]
	return mount{v.Source, v.Target, v.ReadOnly, v.Bind.Create != nil && !*v.Bind.Create}, app.User
}

func daemonSet(t *testing.T) (m mount, user string) {
	t.Helper()
	var f struct {
		Kind string
		Spec struct {
			Selector struct {
				Match map[string]string `yaml:"matchLabels"`
			}
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					Security struct {
						NonRoot bool `yaml:"runAsNonRoot"`
						User    int  `yaml:"runAsUser"`
						Group   int  `yaml:"runAsGroup"`
					} `yaml:"securityContext"`
					Containers []struct {
						Mounts []struct {
							Name     string
							Path     string `yaml:"mountPath"`
							ReadOnly bool   `yaml:"readOnly"`
						} `yaml:"volumeMounts"`
					}
					Volumes []struct {
						Name string
						Host struct{ Path, Type string } `yaml:"hostPath"`
					}
				}
			}
		}
	}
	read(t, "daemonset.yaml", &f)
	pod := f.Spec.Template.Spec
	if f.Kind != "DaemonSet" || len(pod.Containers) != 1 || len(pod.Containers[0].Mounts) != 1 || len(pod.Volumes) != 1 {
		t.Fatalf("%+v", f)
	}
	for k, v := range f.Spec.Selector.Match {
		if f.Spec.Template.Metadata.Labels[k] != v {
			t.Errorf("the selector %s=%s does not find the pods", k, v)
		}
	}
	in, on := pod.Containers[0].Mounts[0], pod.Volumes[0]
	if in.Name != on.Name {
		t.Errorf("the container mounts %s, the pod has %s", in.Name, on.Name)
	}
	if !pod.Security.NonRoot {
		t.Error("the pod may run as root")
	}
	return mount{on.Host.Path, in.Path, in.ReadOnly, on.Host.Type == "Directory"}, fmt.Sprintf("%d:%d", pod.Security.User, pod.Security.Group)
}

// The examples mount what the product uses, read only, for a user without
// rights, and do not start without the agent's directory. The numbers of user and
// group are none that a host gives away: its agent and administrators are numbers, too.
func TestContainerExamples(t *testing.T) {
	p, err := paths.For("")
	if err != nil {
		t.Fatal(err)
	}
	want := mount{p.Runtime, p.Runtime, true, true}
	high := regexp.MustCompile(`^[1-9]\d{4}:[1-9]\d{4}$`)
	for name, example := range map[string]func(*testing.T) (mount, string){"compose": compose, "DaemonSet": daemonSet} {
		if m, user := example(t); m != want || !high.MatchString(user) {
			t.Errorf("%s: %+v as user %q, want %+v and numbers above 10000", name, m, user, want)
		}
	}
}
