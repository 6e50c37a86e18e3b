package rule

import "testing"

func TestLibraryLoads(t *testing.T) {
	if _, err := Load(Library()); err != nil {
		t.Fatal(err)
	}
}
