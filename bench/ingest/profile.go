package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profile writes what the process does for half a minute, for which a run needs a million records, and what it holds then. Of several runs the last one's remain.
func profile(admin, to string) {
	time.Sleep(2 * time.Second) // it connects, and reads the groups' state
	for path, file := range map[string]string{"profile?seconds=30": to, "heap": to + ".heap"} {
		if err := download("http://"+admin+"/debug/pprof/"+path, file); err != nil {
			fmt.Fprintln(os.Stderr, "ingest: profile:", err)
		}
	}
}

func download(url, file string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, b)
	}
	return os.WriteFile(file, b, 0o644)
}
