package embedded

// libraryVersion is the version of the npm packages that hold libchdb.
const libraryVersion = "26.7.3-stable.1"

// library pins one platform's npm package.
type library struct {
	Package   string
	Integrity string // of the tarball, as `npm view PACKAGE@VERSION dist.integrity` prints it
	Bytes     int64  // length of the tarball
}

// libraries is keyed by GOOS/GOARCH. Upstream names packages for
// linux/arm64 (@chdb/lib-linux-arm64-gnu) and darwin (@chdb/lib-darwin-arm64,
// -x64) too; a platform gets its line once someone has run the tests there.
var libraries = map[string]library{
	"linux/amd64": {
		Package:   "@chdb/lib-linux-x64-gnu",
		Integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		Bytes:     177_817_999,
	},
}
