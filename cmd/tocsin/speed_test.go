//go:build !race

package main

// demoSpeed is how much faster than its clock the story is played.
const demoSpeed = 40
