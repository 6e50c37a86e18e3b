//go:build race

package main

// demoSpeed is lower where all takes several times as long: the story's clock must not run ahead of what judges it.
const demoSpeed = 20
