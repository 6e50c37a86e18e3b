package parse

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The secrets of these tests are made up. They are put together at run time, so that scanners of this repository do not
// take them for real ones.
func join(parts ...string) string { return strings.Join(parts, "") }

var (
	alnum36 = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
	jwtText = join("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", ".", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", ".", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U")
	keyBody = "MIIEpAIBAAKCAQEA7bq8o1c2d3e4f5g6h7i8j9k0l1m2n3o4p5q6r7s8t9u0v1w2"
	keyHead = join("-----BEGIN ", "RSA PRIVATE KEY-----")
	keyFoot = join("-----END ", "RSA PRIVATE KEY-----")
	awsID   = join("AKIA", "IOSFODNN7EXAMPLE")
	awsKey  = join("wJalrXUtnFEMI/K7MDENG/", "bPxRfiCYEXAMPLEKEY")
)

var scrubbed = []struct{ in, want string }{
	{"password=hunter2", "password=[redacted]"},
	{"password=secret rest", "password=[redacted] rest"},
	{"DB_PASSWORD: hunter2\nuser: a", "DB_PASSWORD: [redacted]\nuser: a"},
	{`{"password":"hun\"ter2","user":"a"}`, `{"password":"[redacted]","user":"a"}`},
	{`{"password" : "hunter2\\","user":"a"}`, `{"password" : "[redacted]","user":"a"}`},
	{`{"body":"{\"password\":\"hunter2\",\"user\":\"a\"}"}`, `{"body":"{\"password\":\"[redacted]\",\"user\":\"a\"}"}`},
	{`{"b":"{\\\"password\\\":\\\"hunter2\\\",\\\"user\\\":1}"}`, `{"b":"{\\\"password\\\":\\\"[redacted]\\\",\\\"user\\\":1}"}`},
	{`{"msg":"login password=hunter2\nuser=a"}`, `{"msg":"login password=[redacted]\nuser=a"}`},
	{`{"msg":"login password=hunter2"}`, `{"msg":"login password=[redacted]"}`},
	{`{'passwd': 'hunter2', 'user': 'a'}`, `{'passwd': '[redacted]', 'user': 'a'}`},
	{`:password => "hunter2"`, `:password => "[redacted]"`},
	{"POST /login?user=a&password=hunter2&x=1 HTTP/1.1", "POST /login?user=a&password=[redacted]&x=1 HTTP/1.1"},
	{"q=user%3Da%26password%3Dhunter2%26x%3D1", "q=user%3Da%26password%3D[redacted]%26x%3D1"},
	{"q=%7B%22password%22%3A%22hunter2%22%7D", "q=%7B%22password%22%3A%22[redacted]%22%7D"},
	{"<password>hunter2</password>", "<password>[redacted]</password>"},
	{`<env name="DB_PASSWORD" value="hunter2"/>`, `<env name="DB_PASSWORD" value="[redacted]"/>`},
	{`{"name":"DB_PASSWORD","value":"hunter2"}`, `{"name":"DB_PASSWORD","value":"[redacted]"}`},
	{"mysql --user a --password hunter2 db", "mysql --user a --password [redacted] db"},
	{"tool --api-key=abcdef123456 run", "tool --api-key=[redacted] run"},
	{"CREATE USER a IDENTIFIED BY 'hunter2'", "CREATE USER a IDENTIFIED BY '[redacted]'"},
	{"ALTER ROLE a WITH PASSWORD 'hunter2';", "ALTER ROLE a WITH PASSWORD '[redacted]';"},
	{"Server=db;User Id=a;Password=P@ss&w0rd;Database=d", "Server=db;User Id=a;Password=[redacted];Database=d"},
	{"AccountName=a;AccountKey=abcdefghijklmnop0123456789==;E=1", "AccountName=a;AccountKey=[redacted];E=1"},
	{"https://a.blob.core.windows.net/c?sv=2020&sig=abcdEFGH1234%3D&se=1", "https://a.blob.core.windows.net/c?sv=2020&sig=[redacted]&se=1"},
	{"postgres://app:hunter2@db.example.org:5432/pay", "postgres://app:[redacted]@db.example.org:5432/pay"},
	{`"url":"https:\/\/app:hunter2@example.org\/x"`, `"url":"https:\/\/app:[redacted]@example.org\/x"`},
	{"http://app:hunter2@example.org/", "http://app:[redacted]@example.org/"},
	{"amqp://app:hunter2@mq", "amqp://app:[redacted]@mq"},
	{"ftp://app:hunter2@example.org", "ftp://app:[redacted]@example.org"},
	{`"url":"http:\/\/app:hunter2@example.org\/x"`, `"url":"http:\/\/app:[redacted]@example.org\/x"`},
	{"redis://:hunter2@cache:6379/0", "redis://:[redacted]@cache:6379/0"},
	{"u=https%3A%2F%2Fapp%3Ahunter2%40example.org%2F", "u=https%3A%2F%2Fapp%3A[redacted]%40example.org%2F"},
	{"https://0123456789abcdef0123456789abcdef@github.com/o/r", "https://[redacted]@github.com/o/r"},
	{"Authorization: Bearer abc.def.ghi12345\nHost: x", "Authorization: Bearer [redacted]\nHost: x"},
	{"curl -H 'Authorization: Basic YWRtaW46aHVudGVyMg==' http://x", "curl -H 'Authorization: Basic [redacted]' http://x"},
	{`{"Authorization":["Bearer abcdefgh12345678"],"Host":["x"]}`, `{"Authorization":["Bearer [redacted]"],"Host":["x"]}`},
	{`{"tokens":1,"access_token":["abcd1234","efgh5678"]}`, `{"tokens":1,"access_token":["[redacted]","[redacted]"]}`},
	{"Set-Cookie: sid=abcdef; Path=/", "Set-Cookie: [redacted]"},
	{`"cookie":"sid=abcdef"`, `"cookie":"[redacted]"`},
	{"bearer abcdef0123456789", "bearer [redacted]"},
	{"token=abcdef", "token=[redacted]"},
	{`"token": "abcdef"`, `"token": "[redacted]"`},
	{"X-Api-Key: abcdef", "X-Api-Key: [redacted]"},
	{"aws_access_key_id = " + awsID + "\naws_secret_access_key = " + awsKey, "aws_access_key_id = [redacted]\naws_secret_access_key = [redacted]"},
	{`{"k":"x\n` + awsID + `"}`, `{"k":"x\n[redacted]"}`},
	{"id " + join("ASIA", "IOSFODNN7EXAMPLE") + ".", "id [redacted]."},
	{join("AKIA", "****************"), "[redacted]"},
	{join("ghp", "_", alnum36), "[redacted]"},
	{"x=" + join("github", "_pat_", alnum36), "x=[redacted]"},
	{join("glpat", "-", alnum36[:20]), "[redacted]"},
	{join("xoxb", "-1234567890-", alnum36), "[redacted]"},
	{"https://hooks.slack.com/services/T00000000/B00000000/" + alnum36[:24], "https://hooks.slack.com/services/[redacted]"},
	{join("sk", "_live_", alnum36[:24]), "[redacted]"},
	{join("AI", "za", alnum36[:35]), "[redacted]"},
	{join("npm", "_", alnum36), "[redacted]"},
	{join("pypi", "-AgEIcHlwaS5vcmc", alnum36), "[redacted]"},
	{join("sk", "-", alnum36), "[redacted]"},
	{join("sk", "-ant-api03-", alnum36), "[redacted]"},
	{join("SG", ".", alnum36[:22], ".", alnum36), "[redacted]"},
	{join("hvs", ".", alnum36), "[redacted]"},
	{join("dop", "_v1_", alnum36), "[redacted]"},
	{"s " + join("abc8", "Q~", alnum36[:34]) + " x", "s [redacted] x"},
	{"bot" + "123456789:" + "AA" + alnum36, "bot123456789:[redacted]"},
	{"x " + jwtText + " y", "x [redacted] y"},
	{keyHead + "\n" + keyBody + "\n" + keyBody + "\n" + keyFoot + "\nafter", "[redacted]\nafter"},
	{`{"key":"` + keyHead + `\n` + keyBody + `\n` + keyFoot + `\n","n":1}`, `{"key":"[redacted]\n","n":1}`},
	{`{"s":"` + keyHead + `\n` + keyBody + `","n":1}`, `{"s":"[redacted]","n":1}`},
	{keyHead + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB12\n\n" + keyBody + "\nbuild went on", "[redacted]\nbuild went on"},
	{keyHead, "[redacted]"},
}

var innocent = []string{
	"",
	"Failed password for invalid user admin from 203.0.113.7 port 50212 ssh2",
	`FATAL:  password authentication failed for user "app"`,
	"Access denied for user 'root'@'10.0.0.1' (using password: YES)",
	"commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"id 123e4567-e89b-12d3-a456-426614174000",
	"syntax error, unexpected token: '}'",
	"the token is invalid; ask for a new one",
	"unexpected token: identifier",
	"password: ********", `"password":"[redacted]"`, `"password":"[FILTERED]"`, "token=***", "secret: xxxxxxxx", "Authorization: Bearer ***",
	`"password":null,"token":""`, `"password":true`, "password=${DB_PASSWORD}", "password: $DB_PASSWORD", `"password":{"type":"string"}`,
	"PWD=/home/ana/project", "private_key: /etc/ssl/private/key.pem", "password_file=/run/secrets/db",
	"/usr/share/passwd:/etc/secret/token", "name=\"/etc/passwd\" exe=\"/usr/bin/passwd\"",
	"http://example.org:8080/a@b", "git@github.com:org/name.git", "https://github.com/org/name", "pkg:npm/%40scope/name@1.2.3",
	"risk-assessment-of-the-big-20-projects-in-this-company", "npm_lifecycle_event=test", "disk-0123456789012345678901234",
	`{"event_type":"flow","timestamp":"2026-11-23T10:00:00.123456+0000","dest_port":443}`,
	"pass: 48", `"pass": 12`, "result=PASS", "PASS: TestX (0.00s)", "bypass=true",
	"-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA7bq8o1c2\n-----END CERTIFICATE-----",
	"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 ana@laptop",
	"rejects bad password: failure: values differ", "accepts good password: success", "your password: must be longer",
	"annotations authorization.k8s.io/decision=allow",
}

func TestScrubMasksSecrets(t *testing.T) {
	var p Parser
	for _, c := range scrubbed {
		if got := p.scrub(c.in); got != c.want {
			t.Errorf("scrub(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestScrubLeavesInnocentTextAlone(t *testing.T) {
	var p Parser
	for _, in := range innocent {
		if got := p.scrub(in); got != in {
			t.Errorf("scrub(%q)\n got %q", in, got)
		}
	}
}

func TestScrubTwiceIsScrubOnce(t *testing.T) {
	var p Parser
	for _, c := range scrubbed {
		once := p.scrub(c.in)
		if twice := p.scrub(once); twice != once {
			t.Errorf("%q\nonce  %q\ntwice %q", c.in, once, twice)
		}
	}
}

func FuzzScrub(f *testing.F) {
	for _, c := range scrubbed {
		f.Add(c.in)
	}
	for _, in := range innocent {
		f.Add(in)
	}
	var p Parser
	f.Fuzz(func(t *testing.T, in string) {
		once := p.scrub(in)
		if twice := p.scrub(once); twice != once {
			t.Fatalf("%q\nonce  %q\ntwice %q", in, once, twice)
		}
	})
}

// cleanText is what most records look like.
var cleanText = strings.Repeat(`{"timestamp":"2026-11-23T10:00:00.123456+0000","flow_id":1234567890,"event_type":"flow","src_ip":"10.0.0.5","src_port":51234,`+
	`"dest_ip":"203.0.113.7","dest_port":443,"proto":"TCP","app_proto":"tls","host":"web-1.example.org","message":"request handled in 12 ms"}`+"\n", 400)

func TestScrubOfCleanTextAllocatesNothing(t *testing.T) {
	var p Parser
	if n := testing.AllocsPerRun(10, func() { p.scrub(cleanText) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScrubClean(b *testing.B) {
	var p Parser
	b.SetBytes(int64(len(cleanText)))
	b.ReportAllocs()
	for b.Loop() {
		p.scrub(cleanText)
	}
}

func BenchmarkScrubLog(b *testing.B) {
	log := strings.Repeat("Nov 23 10:00:01 web-1 sshd[1234]: Failed password for invalid user admin from 203.0.113.7 port 50212 ssh2\n", 1000)
	var p Parser
	b.SetBytes(int64(len(log)))
	b.ReportAllocs()
	for b.Loop() {
		p.scrub(log)
	}
}

// TestPairsMissNothing holds the search by pairs to the one by single bytes, over texts of what triggers are made of.
func TestPairsMissNothing(t *testing.T) {
	const alphabet = `="':>%/\-AJKSeEbByQ~_.z27d p{x`
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		text := make([]byte, random.IntN(40))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		s := string(text)
		for i := range s {
			if got, want := nextTrigger(s, i), triggerIn(s, i, len(s)); got != want {
				t.Fatalf("%q from %d: a trigger ends at %d, found at %d", s, i, want, got)
			}
		}
	}
}
