package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/expr-lang/expr"
)

// functions are what rules may call besides the built-ins of builtins. Each is a few dozen nanoseconds.
//
//	inCIDR(addr, cidr...) bool       the address lies in one of the networks; they must be written out
//	net(addr, bits[, bits6]) string  the network of the address: bits for IPv4, bits6 (48) for IPv6
//	ip(addr) string                  the address as text, IPv4 without its mapping
//	firstOf(text...) string          the first text that is not empty
//	inList(text or addr, name) bool  the list holds the text, or a network with the address; see list.go
//	packageOf(purl) string           the package URL without its version
//	versionBelow(a, b) bool          a is the older version; each a package URL or a version: some microseconds, see VersionBelow
var functions = []struct {
	name  string
	call  func(args ...any) (any, error)
	types []any
}{
	{"inCIDR", func(args ...any) (any, error) {
		addr := args[0].(netip.Addr).Unmap()
		for _, a := range args[1:] {
			p, err := netip.ParsePrefix(a.(string))
			if err != nil {
				return false, err
			}
			if p.Contains(addr) {
				return true, nil
			}
		}
		return false, nil
	}, []any{new(func(netip.Addr, string, ...string) bool)}},
	{"net", func(args ...any) (any, error) {
		bits6 := defaultNet6
		if len(args) > 2 {
			bits6 = args[2].(int)
		}
		return network(args[0].(netip.Addr), args[1].(int), bits6), nil
	}, []any{new(func(netip.Addr, int) string), new(func(netip.Addr, int, int) string)}},
	{"ip", func(args ...any) (any, error) {
		return addrText(args[0].(netip.Addr)), nil
	}, []any{new(func(netip.Addr) string)}},
	{"firstOf", func(args ...any) (any, error) {
		for _, a := range args {
			if a.(string) != "" {
				return a, nil
			}
		}
		return "", nil
	}, []any{new(func(string, ...string) string)}},
	{"packageOf", func(args ...any) (any, error) {
		return PackageOf(args[0].(string)), nil
	}, []any{new(func(string) string)}},
	{"versionBelow", func(args ...any) (any, error) {
		return VersionBelow(args[0].(string), args[1].(string)), nil
	}, []any{new(func(string, string) bool)}},
	{"inList", func(...any) (any, error) {
		return nil, errors.New("BUG: a list is asked by expr")
	}, []any{new(func(string, string) bool), new(func(netip.Addr, string) bool)}},
}

// builtins are expr's functions that rules may call: their cost is bounded by the length of what they are given. Those
// that take a condition walk one list of the event and are not nested.
var builtins = []string{
	"len", "lower", "upper", "trim", "trimPrefix", "trimSuffix", "hasPrefix", "hasSuffix", "indexOf",
	"int", "float", "string", "abs", "min", "max", "any", "all", "none", "one",
}

// addrMethods of netip.Addr that rules may call.
var addrMethods = []string{"IsValid", "IsPrivate", "IsLoopback", "IsGlobalUnicast", "Is4", "Is6", "String"}

// defaultNet6 is the bits of an IPv6 network where a rule names none: a site.
const defaultNet6 = 48

// network returns the address's network as text, "" for no address or more bits than it has.
func network(a netip.Addr, bits4, bits6 int) string {
	a = a.Unmap()
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, err := a.Prefix(bits)
	if err != nil || !a.IsValid() {
		return ""
	}
	return p.String()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// text is how a value of an expression is written: the same way that pipeline.Event.Field writes it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "1"
		}
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case netip.Addr:
		return addrText(v)
	}
	return fmt.Sprint(v)
}

// exprOptions compile an expression over `ev` with nothing but functions and builtins.
func exprOptions() []expr.Option {
	options := []expr.Option{expr.Env(env{}), expr.DisableAllBuiltins(), expr.MaxNodes(maxNodes)}
	for _, name := range builtins {
		options = append(options, expr.EnableBuiltin(name))
	}
	for _, f := range functions {
		options = append(options, expr.Function(f.name, f.call, f.types...))
	}
	return options
}
