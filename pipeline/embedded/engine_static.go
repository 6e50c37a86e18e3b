//go:build static

package embedded

import "errors"

// runEngine refuses: a binary that loads no library is what containers and packages want, which have a ClickHouse.
func runEngine(string, ...string) error {
	return errors.New("this tocsin was built with the tag static, for `run` and what else needs no ClickHouse of its own; build it without")
}
