package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tocsin-project/tocsin/bench/rig"
)

// chaos disturbs the plant. The plant's own process is never killed, so that its memory is that of the whole run.
type chaos struct {
	plant *rig.Plant
	other *rig.Process
	load  *load
	disk  *disk
	order *rand.Rand
	log   func(string)

	left []disturbance
	done []string
}

type disturbance struct {
	name string
	do   func(*chaos, context.Context) error
}

var disturbances = []disturbance{
	{"kill", func(c *chaos, ctx context.Context) error { return c.end(ctx, syscall.SIGKILL, 0) }},
	{"kill and away for 10 s", func(c *chaos, ctx context.Context) error { return c.end(ctx, syscall.SIGKILL, 10*time.Second) }},
	{"restart", func(c *chaos, ctx context.Context) error { return c.end(ctx, syscall.SIGTERM, 0) }},
	{"stop for 5 s", func(c *chaos, _ context.Context) error { return pause(&c.plant.Process, 5*time.Second) }},
	{"stop for a minute", func(c *chaos, _ context.Context) error { return pause(c.other, time.Minute) }}, // its group gives its partitions away
	{"broker away for 8 s", func(c *chaos, _ context.Context) error { return c.plant.RestartKafka(8 * time.Second) }},
	{"ClickHouse killed and away for 8 s", func(c *chaos, ctx context.Context) error { return c.plant.CrashClickHouse(ctx, 8*time.Second) }},
	{"disk full for 10 s", func(c *chaos, _ context.Context) error { return c.disk.full(10 * time.Second) }},
	{"clocks an hour ahead for 5 s", func(c *chaos, _ context.Context) error { return c.clock(time.Hour) }},
	{"clocks a day behind for 5 s", func(c *chaos, _ context.Context) error { return c.clock(-24 * time.Hour) }},
	{"broken rules for 5 s", func(c *chaos, _ context.Context) error { return c.breakRules() }},
}

// next does what is left of this round, or begins another.
func (c *chaos) next(ctx context.Context) error {
	if len(c.left) == 0 {
		for _, i := range c.order.Perm(len(disturbances)) {
			c.left = append(c.left, disturbances[i])
		}
	}
	d := c.left[0]
	c.left = c.left[1:]
	c.log(d.name)
	c.done = append(c.done, d.name)
	if err := d.do(c, ctx); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// end ends the other process, and starts it again when it has been away for so long.
func (c *chaos) end(ctx context.Context, by syscall.Signal, away time.Duration) error {
	if err := c.other.Signal(by); err != nil {
		return err
	}
	time.Sleep(away)
	return c.other.Run(ctx)
}

func pause(p *rig.Process, long time.Duration) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(long)
	return p.Signal(syscall.SIGCONT)
}

func (c *chaos) clock(off time.Duration) error {
	c.load.wrong.Store(int64(off))
	time.Sleep(5 * time.Second)
	c.load.wrong.Store(0)
	return nil
}

func (c *chaos) breakRules() error {
	path := c.plant.Rules + "/broken.yaml"
	if err := os.WriteFile(path, []byte("id: broken\nkind: none"), 0o644); err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	return os.Remove(path)
}

// disk is a file system of its own in memory, so that it can be full.
type disk struct{ dir string }

const diskBytes = "2g"

func smallDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskBytes); err != nil {
		return nil, fmt.Errorf("mount a small disk for ClickHouse, which takes root: %w", err)
	}
	return &disk{dir}, nil
}

func (d *disk) close() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) }

// full leaves no room on the disk for so long.
func (d *disk) full(long time.Duration) (err error) {
	f, err := os.Create(filepath.Join(d.dir, "ballast"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	for size := int64(1 << 30); size > 1<<12; { // ClickHouse takes of the room meanwhile
		at, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		err = syscall.Fallocate(int(f.Fd()), 0, at, size)
		if errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	time.Sleep(long)
	return nil
}
