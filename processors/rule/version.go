package rule

import (
	"strings"

	"github.com/google/osv-scalibr/semantic"
	"github.com/package-url/packageurl-go"
)

// maxVersionBytes bounds what is compared as a version: a digit more costs more than a byte more.
const maxVersionBytes = 128

// ecosystems are OSV's names of what the types of package URLs number their versions by. All other types do so nearly as
// semantic versioning says.
var ecosystems = map[string]string{
	"apk": "Alpine", "cargo": "crates.io", "composer": "Packagist", "cran": "CRAN", "deb": "Debian", "gem": "RubyGems", "golang": "Go",
	"hackage": "Hackage", "hex": "Hex", "maven": "Maven", "npm": "npm", "nuget": "NuGet", "pub": "Pub", "pypi": "PyPI", "rpm": "Red Hat",
}

const looseVersions = "ConanCenter" // semantic versioning, and what is like it

// PackageOf returns a package URL without its version, qualifiers and subpath: pkg:gem/rack of pkg:gem/rack@2.2.3. It returns
// "" for what is no package URL.
func PackageOf(purl string) string {
	name, _ := splitPurl(purl)
	return name
}

// HasVersion reports whether a text is a package URL with a version.
func HasVersion(purl string) bool {
	_, version := splitPurl(purl)
	return version != ""
}

func splitPurl(purl string) (name, version string) {
	p, err := packageurl.FromString(purl)
	if err != nil {
		return "", ""
	}
	version, p.Version, p.Qualifiers, p.Subpath = p.Version, "", nil, ""
	return p.String(), version
}

// VersionBelow reports whether a version is older than another, as the kind of its package orders versions: each of the two
// is a package URL, whose type says so, or a version alone. The other may be a list of versions joined by commas, as scanners
// name one for each branch that is mended: it is that of the version's own branch, which has the most in common with it.
//
// It is false where one of them is missing, is no version or is longer than 128 bytes.
func VersionBelow(version, other string) bool {
	ecosystem := looseVersions
	read := func(s string) string {
		name, v := splitPurl(s)
		if name == "" {
			return strings.TrimSpace(s)
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(name, "pkg:"), "/")
		if e, ok := ecosystems[kind]; ok {
			ecosystem = e
		}
		return v
	}
	version = read(version)
	others := strings.FieldsFunc(read(other), func(r rune) bool { return r == ',' || r == ' ' })
	if version == "" || len(version) > maxVersionBytes {
		return false
	}
	below, shared := false, -1
	for _, o := range others {
		if len(o) > maxVersionBytes {
			continue
		}
		c, ok := compareVersions(version, o, ecosystem)
		if n := sharedParts(version, o); ok && n >= shared {
			// Of several with as much in common one that is reached is enough.
			below, shared = c < 0 && (n > shared || below), n
		}
	}
	return below
}

// compareVersions reports which is the newer one: it is below 0 where a is older. An epoch that only one of them names does
// not count: package URLs leave it out.
func compareVersions(a, b, ecosystem string) (order int, ok bool) {
	epochA, restA, hasA := strings.Cut(a, ":")
	epochB, restB, hasB := strings.Cut(b, ":")
	switch {
	case hasA && !hasB:
		a = restA
	case hasB && !hasA:
		b = restB
	case hasA && epochA == epochB:
		a, b = restA, restB
	}
	v, err := semantic.Parse(strings.TrimPrefix(a, "v"), ecosystem)
	if err != nil {
		return 0, false
	}
	order, err = v.CompareStr(strings.TrimPrefix(b, "v"))
	return order, err == nil
}

// sharedParts counts the leading parts that two versions have in common.
func sharedParts(a, b string) int {
	x, y := strings.FieldsFunc(a, isNoPart), strings.FieldsFunc(b, isNoPart)
	n := 0
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
}

func isNoPart(r rune) bool { return r == '.' || r == '-' || r == '+' || r == ':' || r == '~' }
