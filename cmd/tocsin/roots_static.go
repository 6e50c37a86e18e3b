//go:build static

package main

// The binary of containers finds no certificates of authorities beside it: it has Mozilla's with it, for where the system has none.
import _ "golang.org/x/crypto/x509roots/fallback"
