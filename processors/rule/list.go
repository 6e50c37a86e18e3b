package rule

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/expr-lang/expr/ast"
	"github.com/gaissmai/bart"
)

// A list is a file <name>.list: an entry a line, empty lines and those that begin with # left out. Rules ask
// inList(ev.Digest, "name"), for the very text, or inList(ev.SrcIP, "name"), for an address in one of its networks.
const (
	listExt = ".list"
	// maxListBytes bounds a list's file: a mistaken path must not fill the memory. A million hashes have 65 MB.
	maxListBytes = 256 << 20
	// maxListErrors is how many mistakes of a list are told one by one: a file in the wrong format has a million.
	maxListErrors = 20
)

// IsListFile reports whether a name is a list's.
func IsListFile(name string) bool { return filepath.Ext(name) == listExt }

// list is one list. It is read-only once the set is loaded, and shared by all workers.
type list struct {
	file     File
	texts    map[string]struct{} // nil until a rule asks for texts
	networks *bart.Lite          // nil until a rule asks for addresses
}

func listName(path string) string { return strings.TrimSuffix(filepath.Base(path), listExt) }

// entries calls f with each entry and its line.
func (l *list) entries(f func(line int, entry string)) {
	line := 0
	for text := range bytes.Lines(l.file.Data) {
		line++
		if text = bytes.TrimSpace(text); len(text) > 0 && text[0] != '#' {
			f(line, unsafe.String(&text[0], len(text))) // the file's bytes are never written to
		}
	}
}

// asTexts reads the list for those who compare texts.
func (l *list) asTexts() {
	if l.texts != nil {
		return
	}
	l.texts = make(map[string]struct{}, bytes.Count(l.file.Data, []byte{'\n'})+1)
	l.entries(func(_ int, entry string) { l.texts[entry] = struct{}{} })
}

// asNetworks reads the list for those who look for addresses. Its mistakes are told once.
func (l *list) asNetworks() (errs Errors) {
	if l.networks != nil {
		return nil
	}
	l.networks = &bart.Lite{}
	more := 0
	l.entries(func(line int, entry string) {
		p, err := netip.ParsePrefix(entry)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(entry); err == nil && a.Zone() == "" {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if !p.IsValid() {
			if len(errs) == maxListErrors {
				more++
				return
			}
			errs = append(errs, &Error{Path: l.file.Name, Line: line, Column: 1, Source: clip(entry), Message: "this is no address and no network",
				Hint: "a rule looks for addresses in the list: as in 192.0.2.7 or 10.0.0.0/8"})
			return
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		l.networks.Insert(p.Masked())
	})
	if more > 0 {
		errs = append(errs, &Error{Path: l.file.Name, Message: fmt.Sprintf("%d more lines are no network", more)})
	}
	return errs
}

// clip keeps a line of a message short.
func clip(s string) string {
	const most = 120
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// readList takes a list's file.
func (s *Set) readList(f File) *Error {
	name := listName(f.Name)
	switch {
	case len(f.Data) > maxListBytes:
		return &Error{Path: f.Name, Message: fmt.Sprintf("the list has %d bytes, at most %d are allowed", len(f.Data), maxListBytes)}
	case s.atoms.lists[name] != nil:
		return &Error{Path: f.Name, Message: fmt.Sprintf("list %q is in %s as well", name, s.atoms.lists[name].file.Name), Hint: "a name is that of one list"}
	}
	if s.atoms.lists == nil {
		s.atoms.lists = map[string]*list{}
	}
	s.atoms.lists[name] = &list{file: f}
	return nil
}

// isListCall recognises inList(...).
func isListCall(n ast.Node) (*ast.CallNode, bool) {
	call, ok := n.(*ast.CallNode)
	if !ok {
		return nil, false
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	return call, ok && callee.Value == "inList"
}

// listAtom is the atom of inList, whose arguments the guard has checked.
func (a *atoms) listAtom(n *ast.CallNode) (atom, error) {
	name := n.Arguments[1].(*ast.StringNode).Value
	l := a.lists[name]
	if l == nil {
		var names []string
		for known := range a.lists {
			names = append(names, known)
		}
		hint := didYouMean(name, names)
		if len(names) == 0 {
			hint = "a list is a file " + name + listExt + " in a folder of rules"
		}
		return atom{}, fmt.Errorf("there is no list %q: %s", name, hint)
	}
	if get, ok := addrOperand(n.Arguments[0]); ok {
		if errs := l.asNetworks(); len(errs) > 0 {
			return atom{}, errs
		}
		return atom{column: columnOf(n.Arguments[0]), test: func(e *event) bool {
			addr := get(e)
			return addr.IsValid() && l.networks.Contains(addr.Unmap().WithZone(""))
		}}, nil
	}
	o, _ := textOperand(n.Arguments[0])
	l.asTexts()
	return atom{column: o.column, test: func(e *event) bool {
		_, ok := l.texts[o.get(e)]
		return ok
	}}, nil
}

// listCalls refuses inList wherever it is not a condition of its own: there it would be a function of expr, which knows no
// lists. want is what the expression must give.
func listCalls(n ast.Node, want string) (errs []exprError) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if n.Operator == "&&" || n.Operator == "||" || n.Operator == "and" || n.Operator == "or" {
			return append(listCalls(n.Left, want), listCalls(n.Right, want)...)
		}
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return listCalls(n.Node, want)
		}
	}
	top, isTop := isListCall(n)
	if isTop && want == "bool" {
		_, isText := textOperand(top.Arguments[0])
		_, isAddr := addrOperand(top.Arguments[0])
		_, isConstant := top.Arguments[1].(*ast.StringNode)
		switch {
		case !isConstant:
			return []exprError{{top.Arguments[1].Location().From, "the name of a list must be written out", `as in inList(ev.SrcIP, "blocked")`}}
		case !isText && !isAddr:
			return []exprError{{top.Arguments[0].Location().From, "a list can be asked for a field or an attribute", `as in inList(ev.Attr("file.hash"), "malware")`}}
		}
		return nil
	}
	f := &listFinder{}
	ast.Walk(&n, f)
	for _, call := range f.calls {
		errs = append(errs, exprError{call.Location().From, "inList is a condition of its own", "join it with others by &&, || and !"})
	}
	return errs
}

// listFinder is a visitor that collects calls of inList.
type listFinder struct{ calls []ast.Node }

// Visit implements ast.Visitor.
func (f *listFinder) Visit(n *ast.Node) {
	if call, ok := isListCall(*n); ok {
		f.calls = append(f.calls, call)
	}
}
