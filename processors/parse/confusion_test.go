package parse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// alsoClaimed lists where a payload of the first format is claimed by the second as well, which stands behind it in the
// table, and why that cannot be told apart further.
var alsoClaimed = map[[2]string]string{
	{"artifact-repo", "access-log"}: "the router of Artifactory logs requests as JSON with the keys of an access log",
	{"github", "gitea-webhook"}:     "Gitea's webhooks are made after GitHub's; GitHub's have node_id",
	{"gitlab-ci", "gitlab-webhook"}: "pipelines and builds are two of GitLab's events",
	{"harbor", "cloudevents"}:       "Harbor sends CloudEvents",
	{"harbor", "syslog"}:            "Harbor's components log by syslog",
	{"litmus", "kubernetes-events"}: "LitmusChaos tells of its experiments by events of Kubernetes",
	{"scm-app-log", "access-log"}:   "GitLab and Gitea log requests among others, with the keys of an access log",
	{"security-datasets", "ecs"}:    "Winlogbeat writes events of Windows in ECS",
	{"sshd-auth", "syslog"}:         "sshd logs by syslog",
}

// testSample is one sample of testdata, as it would come.
type testSample struct {
	format, name string
	record       pipeline.Record
}

// allSamples returns the samples of all formats.
func allSamples(t testing.TB) []testSample {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*")
	if err != nil {
		t.Fatal(err)
	}
	var samples []testSample
	for _, file := range files {
		format, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		if format == "fuzz" || name == "ORIGIN" || name == "LICENSE" || strings.HasSuffix(name, ".golden") || strings.HasSuffix(name, ".headers") {
			continue
		}
		s := testSample{format: format, name: name}
		if s.record.Value, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		headers, err := os.ReadFile(file + ".headers")
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(headers)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			s.record.Headers = append(s.record.Headers, pipeline.Header{Key: key, Value: []byte(value)})
		}
		samples = append(samples, s)
	}
	return samples
}

// TestEveryPayloadIsClaimedByItsOwnFormat asks every format for every sample. The first that claims it is the right one;
// whoever else claims it is listed with the reason. With -v it prints them all.
func TestEveryPayloadIsClaimedByItsOwnFormat(t *testing.T) {
	claimed := map[[2]string]int{}
	for _, sample := range allSamples(t) {
		if sample.record.Header("tocsin_source") != "" {
			continue
		}
		var p Parser
		data, err := p.payload(sample.record.Value)
		if err != nil {
			continue // refused before anybody is asked
		}
		var claims []string
		for i := range Formats {
			s := newShape(&sample.record, data)
			s.formats = Formats
			if f := &Formats[i]; f.Match != nil && f.Match(s) {
				claims = append(claims, f.Name)
			}
		}
		if len(claims) == 0 || claims[0] != sample.format {
			t.Errorf("%s/%s: claimed by %q first", sample.format, sample.name, claims)
			continue
		}
		for _, other := range claims[1:] {
			pair := [2]string{sample.format, other}
			claimed[pair]++
			if alsoClaimed[pair] == "" {
				t.Errorf("%s/%s: claimed by %s as well, which is not listed in alsoClaimed", sample.format, sample.name, other)
			}
		}
	}
	pairs := make([][2]string, 0, len(claimed))
	for pair := range claimed {
		pairs = append(pairs, pair)
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	var matrix strings.Builder
	for _, pair := range pairs {
		fmt.Fprintf(&matrix, "%-24s also %-24s %3d  %s\n", pair[0], pair[1], claimed[pair], alsoClaimed[pair])
		if alsoClaimed[[2]string{pair[1], pair[0]}] != "" {
			t.Errorf("%s and %s claim each other's payloads", pair[0], pair[1])
		}
	}
	t.Logf("payloads that more than one format claims:\n%s", matrix.String())
	for pair := range alsoClaimed {
		if claimed[pair] == 0 {
			t.Errorf("%q is listed in alsoClaimed, but no sample shows it", pair)
		}
	}
}

// TestForeignPayloadsAreNotClaimed: what looks like a format at first sight and is of none goes to the dead letters rather than
// into the warehouse with a wrong meaning.
func TestForeignPayloadsAreNotClaimed(t *testing.T) {
	hash := strings.Repeat("79a59df9", 8)
	for what, payload := range map[string]string{
		"sha256sum's list":              hash + "  tool_1.5.0_linux_amd64.deb\n",
		"S3's access log":               hash + ` bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 ` + hash + ` 3E57427F3EXAMPLE REST.GET.VERSIONING - "GET /bucket?versioning HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4" -` + "\n",
		"a repository of a forge's API": `{"id": 7, "name": "shop", "owner": {"login": "acme"}, "size": 4711, "created_at": "2026-11-23T10:00:00Z"}`,
		"a log of requests with arrows": "2026-10-06T15:16:43.137833+0000 192.0.2.9 [**] /hello.txt [**] curl/7.40.0 [**] 10.16.1.11:59733 -> web:80\n",
	} {
		s := newShape(&pipeline.Record{}, []byte(payload))
		if f := (&recogniser{formats: Formats}).recognise(s); f != nil {
			t.Errorf("%s: claimed by %s", what, f.Name)
		}
	}
}
