package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	MaybeChild()
	if _, err := LibraryPath(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if dir := os.Getenv(parentEnv); dir != "" {
		parent(dir)
	}
	os.Exit(m.Run())
}

// parentEnv makes the test binary a process for the tests to kill.
const parentEnv = "TOCSIN_TEST_PARENT"

// addresses is what parent tells the test.
type addresses struct{ TCP, HTTP, Kafka string }

// parent serves both from below dir until it is killed.
func parent(dir string) {
	c, err := StartClickHouse(context.Background(), ClickHouseConfig{Dir: dir + "/clickhouse"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	k, err := StartKafka(KafkaConfig{Dir: dir + "/kafka", Topics: testTopics})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(addresses{c.TCPAddr, c.HTTPAddr, k.Addrs[0]})
	select {}
}
