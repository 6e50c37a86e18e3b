package embedded

// libraryVersion is the version of the npm packages that hold libchdb.
const libraryVersion = "26.7.3-stable.1"

// library pins one platform's npm package, by version and, where somebody of
// ours has read it, by hash.
type library struct {
	Package   string
	Integrity string // of the tarball, as `npm view PACKAGE@VERSION dist.integrity` prints it; empty: npm checks the registry's own
	Bytes     int64  // length of the tarball, for the progress bar; 0: not known
}

// libraries is keyed by GOOS/GOARCH. Tests have run on linux/amd64 only; the
// other platforms get their hash and length once they have run there too.
var libraries = map[string]library{
	"linux/amd64": {
		Package:   "@chdb/lib-linux-x64-gnu",
		Integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		Bytes:     177_817_999,
	},
	"linux/arm64":  {Package: "@chdb/lib-linux-arm64-gnu"},
	"darwin/arm64": {Package: "@chdb/lib-darwin-arm64"},
}
