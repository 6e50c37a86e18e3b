package rule

import (
	"strings"
	"testing"
	"time"
)

// Versions are ordered as their kind of package orders them, and where there is none as semantic versioning does.
func TestVersionBelow(t *testing.T) {
	for _, c := range []struct {
		version, other string
		below          bool
	}{
		{"pkg:gem/rack@2.2.7", "2.2.8.1", true},
		{"pkg:gem/rack@2.2.8", "pkg:gem/rack@2.2.8.1", true},
		{"pkg:gem/rack@2.2.8.1", "2.2.8.1", false},
		{"pkg:gem/rack@2.2.10", "2.2.9", false},
		{"pkg:gem/rack@3.0.0.rc1", "3.0.0", true},
		{"pkg:npm/left-pad@1.10.0", "1.9.0", false},
		{"pkg:npm/left-pad@2.0.0-rc.1", "2.0.0", true},
		{"pkg:golang/golang.org/x/net@v0.9.0", "0.17.0", true},
		{"pkg:golang/golang.org/x/net@v0.17.0", "v0.17.0", false},
		{"pkg:pypi/django@4.2rc1", "4.2", true},
		{"pkg:pypi/django@4.2.post1", "4.2", false},
		{"pkg:maven/org.apache.logging.log4j/log4j-core@2.0-beta9", "2.0", true},
		{"pkg:maven/a/b@1.0-SNAPSHOT", "1.0", true},
		{"pkg:deb/debian/openssl@3.0.11-1~deb12u1", "3.0.11-1~deb12u2", true},
		{"pkg:deb/debian/openssl@3.0.11-1~deb12u2", "3.0.11-1", true},
		{"pkg:rpm/redhat/bash@5.1.8-6.el9_1", "5.1.8-9.el9", true},
		{"pkg:rpm/redhat/dbus@1.12.8-26.el8", "1:1.12.8-18.el8", false}, // the epoch is no part of the package URL
		{"pkg:apk/alpine/musl@1.2.3-r4", "1.2.3-r5", true},
		{"1.2.3", "1.10.0", true},

		// One version for each branch: that of its own counts.
		{"pkg:gem/rack@2.1.0", "2.0.9.1, 2.1.4.1, 2.2.3.1", true},
		{"pkg:gem/rack@2.1.5", "2.0.9.1, 2.1.4.1, 2.2.3.1", false},
		{"pkg:gem/rack@2.3.0", "2.0.9.1, 2.1.4.1", false},
		{"pkg:gem/rack@2.0.5", "2.1.4,2.2.3", true},
		{"pkg:gem/rack@1.6.0", "2.1.4, 3.0.0", true},

		{"", "1", false},
		{"pkg:gem/rack", "1", false},
		{"1", "", false},
	} {
		if got := VersionBelow(c.version, c.other); got != c.below {
			t.Errorf("%s below %s: %v, want %v", c.version, c.other, got, c.below)
		}
	}
	if got := PackageOf("pkg:deb/debian/openssl@3.0.11-1~deb12u1?arch=amd64"); got != "pkg:deb/debian/openssl" {
		t.Errorf("package %q", got)
	}
}

// Whatever stands where a version should, it is compared at once, and none is older than itself.
func FuzzVersionBelow(f *testing.F) {
	for kind := range ecosystems {
		f.Add("pkg:"+kind+"/a/b@1:1.0~rc1-2+x", "1.0,2.0.0-beta.1")
	}
	f.Add("9999999999999999999999999999", "1.x")
	f.Fuzz(func(t *testing.T, a, b string) {
		began := time.Now()
		if VersionBelow(a, b) && VersionBelow(a, a) && !strings.ContainsAny(a, ", ") {
			t.Errorf("%q is below itself", a)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("%q and %q take %v", a, b, d)
		}
	})
}
