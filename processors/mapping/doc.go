// Package mapping makes source formats of mapping files: a JSON source of one's own needs no Go. A file (*.source.yaml, beside
// the rules) says how its records are recognised and gives each field of the event as an expression over the record's
// keys; docs/adding-a-source.md has an example.
//
// Only the paths that the expressions name are read from a record, in one pass (extract.go); expressions are compiled when
// the file is loaded and bounded in size (expression.go). Load reports everything that is wrong in all files at once.
package mapping
