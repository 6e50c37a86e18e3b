package parse

// scrub returns s with everything masked that looks like a secret by itself. It returns s itself when there is nothing.
func (p *Parser) scrub(s string) string { return s }
