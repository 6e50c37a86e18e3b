package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/goccy/go-yaml"

	"github.com/tocsin-project/tocsin/processors/parse"
)

// deployed reads a file of deploy as YAML documents.
func deployed(t *testing.T, path string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", path))
	if err != nil {
		t.Fatal(err)
	}
	return documents(t, path, text)
}

func documents(t *testing.T, name string, text []byte) []map[string]any {
	t.Helper()
	var out []map[string]any
	for d := range strings.SplitSeq(string(text), "\n---") {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(d), &m); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, d)
		}
		if m != nil {
			out = append(out, m)
		}
	}
	return out
}

// at follows keys into nested maps and lists; nil where there is nothing.
func at(v any, keys ...any) any {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

func texts(v any) []string {
	var out []string
	l, _ := v.([]any)
	for _, s := range l {
		out = append(out, fmt.Sprint(s))
	}
	return out
}

// config loads a configuration, with something for each of its secrets.
func config(t *testing.T, name string, text []byte) Config {
	t.Helper()
	for _, ref := range secretRef.FindAllSubmatch(text, -1) {
		secret := "0123456789abcdef0123456789abcdef"
		if bytes.HasSuffix(ref[1], []byte("_DSN")) {
			secret = "postgres://user:password@db:5432/shop"
		}
		t.Setenv(string(ref[1]), secret)
	}
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(path)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return cfg
}

// TestCompose: the commands exist, their configurations load, the ports that are published are those that are listened on,
// the topics that are read are made, and nothing is published beyond loopback.
func TestCompose(t *testing.T) {
	compose := deployed(t, "docker-compose.yml")[0]
	services := compose["services"].(map[string]any)
	made := strings.Fields(regexp.MustCompile(`for t in ([^;]+);`).FindStringSubmatch(fmt.Sprint(at(services, "topics", "command", 0)))[1])
	for name, s := range services {
		for _, p := range texts(at(s, "ports")) {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s, beyond loopback", name, p)
			}
		}
		for _, v := range texts(at(s, "volumes")) {
			if from, _, _ := strings.Cut(v, ":"); strings.HasPrefix(from, "./") {
				if _, err := os.Stat(filepath.Join("../../deploy", from)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for other := range toMap(at(s, "depends_on")) {
			if services[other] == nil {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
	}
	for name, listen := range map[string]func(Config) string{
		"tocsin":  func(c Config) string { return c.Admin.Listen },
		"receive": func(c Config) string { return c.Receive.Listen },
	} {
		s := services[name]
		args := texts(at(s, "command"))
		if err := knownCommand(args); err != nil {
			t.Errorf("%s: %v: %v", name, args, err)
		}
		text, err := os.ReadFile("../../deploy/compose/" + name + ".yaml")
		if err != nil {
			if text, err = os.ReadFile("../../deploy/compose/" + filepath.Base(args[len(args)-1])); err != nil {
				t.Fatal(err)
			}
		}
		for _, ref := range secretRef.FindAllSubmatch(text, -1) {
			if at(s, "environment", string(ref[1])) == nil {
				t.Errorf("%s: its configuration wants %s, its environment has none", name, ref[1])
			}
		}
		cfg := config(t, name, text)
		_, port, _ := strings.Cut(listen(cfg), ":")
		if p := texts(at(s, "ports")); len(p) != 1 || p[0] != "127.0.0.1:"+port+":"+port {
			t.Errorf("%s listens on %s and publishes %v", name, listen(cfg), p)
		}
		for _, topic := range append(cfg.Kafka.Topics, cfg.Receive.Topics()...) {
			if !slices.Contains(made, topic) {
				t.Errorf("%s: nobody makes topic %s", name, topic)
			}
		}
		if !strings.Contains(fmt.Sprint(at(services, "kafka", "environment", "KAFKA_LISTENERS")), strings.TrimPrefix(cfg.Kafka.Brokers[0], "kafka")) {
			t.Errorf("%s: Kafka does not listen on %s", name, cfg.Kafka.Brokers[0])
		}
	}
}

func toMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// render executes the chart's templates as Helm would, with the functions that they use.
func render(t *testing.T, change func(values map[string]any)) []map[string]any {
	t.Helper()
	values := deployed(t, "helm/tocsin/values.yaml")[0]
	change(values)
	chart := deployed(t, "helm/tocsin/Chart.yaml")[0]
	toYAML := func(v any) (string, error) {
		b, err := yaml.MarshalWithOptions(v, yaml.IndentSequence(true))
		return strings.TrimSuffix(string(b), "\n"), err
	}
	var all *template.Template
	nindent := func(n int, s string) string {
		pad := strings.Repeat(" ", n)
		return "\n" + pad + strings.ReplaceAll(s, "\n", "\n"+pad)
	}
	all = template.New("chart").Option("missingkey=zero").Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var b strings.Builder
			err := all.ExecuteTemplate(&b, name, data)
			return b.String(), err
		},
		"toYaml": toYAML, "nindent": nindent,
		"toJson": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"default": func(def, v any) any {
			if v == nil || v == "" {
				return def
			}
			return v
		},
		"required": func(msg string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, errors.New(msg)
			}
			return v, nil
		},
		"dict": func(pairs ...any) map[string]any {
			m := map[string]any{}
			for i := 0; i < len(pairs); i += 2 {
				m[pairs[i].(string)] = pairs[i+1]
			}
			return m
		},
		"list":      func(v ...any) []any { return v },
		"quote":     func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"join":      func(sep string, v any) string { return strings.Join(texts(v), sep) },
		"ternary":   func(a, b any, ok bool) any { return map[bool]any{true: a, false: b}[ok] },
		"sha256sum": func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) },
	})
	files, err := filepath.Glob("../../deploy/helm/tocsin/templates/*")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	data := map[string]any{
		"Values": values, "Chart": map[string]any{"AppVersion": chart["appVersion"]},
		"Release": map[string]any{"Name": "t", "Namespace": "ns", "Service": "Helm"},
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all.New(filepath.Base(f)).Parse(string(text)); err != nil {
			t.Fatal(err)
		}
	}
	var out []map[string]any
	for _, f := range files {
		var b bytes.Buffer
		if err := all.ExecuteTemplate(&b, filepath.Base(f), data); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(f) == ".yaml" {
			out = append(out, documents(t, f, b.Bytes())...)
		}
	}
	return out
}

// TestChart renders the chart with everything on, and holds each pod to what docs/security.md promises.
func TestChart(t *testing.T) {
	objects := render(t, func(v map[string]any) {
		toMap(v["image"])["repository"] = "example.com/tocsin"
		toMap(v["receive"])["enabled"], toMap(v["sample"])["enabled"] = true, true
		toMap(at(v, "ingest", "autoscaling"))["mode"], toMap(at(v, "detect", "autoscaling"))["mode"] = "cpu", "lag"
	})
	kinds := map[string]int{}
	configs, components := map[string]Config{}, map[string]bool{}
	for _, o := range objects {
		kinds[fmt.Sprint(o["kind"])]++
		if o["kind"] == "ConfigMap" {
			text, _ := at(o, "data", "tocsin.yaml").(string)
			configs[fmt.Sprint(at(o, "metadata", "name"))] = config(t, "values.yaml", []byte(text))
		}
	}
	for kind, n := range map[string]int{"Deployment": 3, "StatefulSet": 1, "ConfigMap": 3, "Service": 2, "PodDisruptionBudget": 3, "NetworkPolicy": 2,
		"HorizontalPodAutoscaler": 1, "ScaledObject": 1, "ServiceAccount": 1} {
		if kinds[kind] != n {
			t.Errorf("%d of %s, want %d", kinds[kind], kind, n)
		}
	}
	for _, o := range objects {
		if o["kind"] != "Deployment" && o["kind"] != "StatefulSet" {
			continue
		}
		name, pod := fmt.Sprint(at(o, "metadata", "name")), at(o, "spec", "template", "spec")
		c := at(pod, "containers", 0)
		if err := knownCommand(texts(at(c, "args"))); err != nil {
			t.Errorf("%s: %v: %v", name, at(c, "args"), err)
		}
		for what, got := range map[string]any{
			"runAsNonRoot": at(pod, "securityContext", "runAsNonRoot"), "readOnlyRootFilesystem": at(c, "securityContext", "readOnlyRootFilesystem"),
			"no privilege escalation":     at(c, "securityContext", "allowPrivilegeEscalation") == false,
			"all capabilities dropped":    slices.Equal(texts(at(c, "securityContext", "capabilities", "drop")), []string{"ALL"}),
			"seccomp":                     at(pod, "securityContext", "seccompProfile", "type") == "RuntimeDefault",
			"no token of Kubernetes":      at(pod, "automountServiceAccountToken") == false,
			"selector matches the labels": fmt.Sprint(at(o, "spec", "selector", "matchLabels", "app.kubernetes.io/component")) == fmt.Sprint(at(o, "spec", "template", "metadata", "labels", "app.kubernetes.io/component")),
			"a memory limit":              at(c, "resources", "limits", "memory") != nil,
		} {
			if got != true {
				t.Errorf("%s: %s is %v", name, what, got)
			}
		}
		cfg, known := configs[fmt.Sprint(at(pod, "volumes", 0, "configMap", "name"))]
		if !known {
			t.Errorf("%s mounts a ConfigMap that is not there", name)
		}
		ports := map[string]string{}
		l, _ := at(c, "ports").([]any)
		for _, p := range l {
			ports[fmt.Sprint(at(p, "name"))] = fmt.Sprint(at(p, "containerPort"))
		}
		if _, port, _ := strings.Cut(cfg.Admin.Listen, ":"); ports["admin"] != port {
			t.Errorf("%s listens on %s and names port %s", name, cfg.Admin.Listen, ports["admin"])
		}
		if _, port, _ := strings.Cut(cfg.Receive.Listen, ":"); ports["receive"] != "" && ports["receive"] != port {
			t.Errorf("%s listens on %s and names port %s", name, cfg.Receive.Listen, ports["receive"])
		}
		components[fmt.Sprint(at(o, "spec", "template", "metadata", "labels", "app.kubernetes.io/component"))] = true
	}
	for _, o := range objects { // whatever selects pods selects some
		for _, path := range [][]any{{"spec", "podSelector", "matchLabels"}, {"spec", "selector", "matchLabels"}, {"spec", "selector"}} {
			if c := at(at(o, path...), "app.kubernetes.io/component"); c != nil && !components[fmt.Sprint(c)] {
				t.Errorf("%v %v selects %v, which is no pod", o["kind"], at(o, "metadata", "name"), c)
			}
		}
		if o["kind"] == "ScaledObject" && at(o, "spec", "triggers", 0, "metadata", "consumerGroup") != DefaultConfig().Kafka.Group+"-detect" {
			t.Errorf("scaled on %v", at(o, "spec", "triggers", 0, "metadata"))
		}
	}
}

// TestUnits: the services' commands exist and they give up what they do not need.
func TestUnits(t *testing.T) {
	units, err := filepath.Glob("../../deploy/systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatal(units, err)
	}
	for _, u := range units {
		text, err := os.ReadFile(u)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^ExecStart(?:Pre)?=/usr/bin/tocsin (.*)$`).FindAllSubmatch(text, -1) {
			if err := knownCommand(strings.Fields(string(m[1]))); err != nil {
				t.Errorf("%s: %s: %v", u, m[1], err)
			}
		}
		for _, line := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "SystemCallFilter=@system-service"} {
			if !bytes.Contains(text, []byte("\n"+line+"\n")) {
				t.Errorf("%s lacks %s", u, line)
			}
		}
	}
}

// TestPackages: what nfpm.yaml packs is in the repository, or is made by `make packages`.
func TestPackages(t *testing.T) {
	contents, _ := deployed(t, "nfpm.yaml")[0]["contents"].([]any)
	if len(contents) < 8 {
		t.Fatal(contents)
	}
	for _, c := range contents {
		src := fmt.Sprint(at(c, "src"))
		if at(c, "type") == "dir" || strings.HasPrefix(src, "dist/") {
			continue
		}
		if _, err := os.Stat(filepath.Join("../..", src)); err != nil {
			t.Error(err)
		}
	}
}

// TestShippers: what other tools' configurations send arrives: their topics are of the sample configuration or bound to a
// format beside them, and the formats that they name exist.
func TestShippers(t *testing.T) {
	sample, err := os.ReadFile("../../deploy/tocsin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := config(t, "deploy/tocsin.yaml", sample).Kafka.Topics
	err = filepath.WalkDir("../../deploy/sources", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".source.yaml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) != ".conf" {
			documents(t, path, text)
		}
		bound := map[string]string{}
		for _, m := range regexp.MustCompile(`([a-z-]+): ([a-z0-9-]+)`).FindAllSubmatch(regexp.MustCompile(`parse: \{topics: \{.*`).Find(text), -1) {
			bound[string(m[1])] = string(m[2])
		}
		topics := regexp.MustCompile(`\btopics?(?:: *|=")([a-z-]+)`).FindAllSubmatch(text, -1)
		if len(topics) == 0 {
			t.Errorf("%s sends nowhere", path)
		}
		for _, m := range topics {
			if !slices.Contains(read, string(m[1])) && bound[string(m[1])] == "" {
				t.Errorf("%s: topic %s is not read", path, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`tocsin_source"?(?:,|:)[^a-z]*(?:value: *)?"?([a-z0-9-]+)`).FindAllSubmatch(text, -1) {
			bound[path+string(m[1])] = string(m[1])
		}
		for _, format := range bound {
			if parse.Lookup(format) == nil {
				t.Errorf("%s: there is no format %q", path, format)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStaticBuildLoadsNothing: the binary of containers and packages has no loader of shared libraries in it.
func TestStaticBuildLoadsNothing(t *testing.T) {
	cmd := exec.Command("go", "list", "-tags", "static", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("purego")) || !bytes.Contains(out, []byte("pipeline/kafka")) {
		t.Errorf("purego is linked:\n%s", out)
	}
	if !bytes.Contains(out, []byte("x509roots/fallback")) {
		t.Error("no authorities' certificates are linked, and the image has no others")
	}
}
