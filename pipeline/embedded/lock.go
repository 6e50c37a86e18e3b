package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// lockWait is how long lockDir waits for a holder whose process is dead: its
// ClickHouse is ending, within a second as a rule, and keeps the lock meanwhile.
const lockWait = 10 * time.Second

// lockDir creates dir and takes its lock. The lock lasts until every copy of
// the returned file is closed, that of a child which inherited it included; a
// process's death closes its own.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := acquire(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// acquire locks f and writes this process's id into it.
func acquire(f *os.File) error {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		content, err := io.ReadAll(io.NewSectionReader(f, 0, 64))
		if err != nil {
			return err
		}
		holder, _ := strconv.Atoi(string(bytes.TrimSpace(content)))
		alive := holder > 0 && !errors.Is(syscall.Kill(holder, 0), syscall.ESRCH)
		if alive || time.Now().After(deadline) {
			return fmt.Errorf("process %d uses the folder: stop it, or choose another folder", holder)
		}
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}
