package embedded_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

func Example() {
	embedded.MaybeChild() // first thing in main

	ctx := context.Background()
	clickhouse, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: "data/clickhouse"})
	if err != nil {
		log.Fatal(err)
	}
	defer clickhouse.Stop(ctx)

	kafka, err := embedded.StartKafka(embedded.KafkaConfig{Dir: "data/kafka"})
	if err != nil {
		log.Fatal(err)
	}
	defer kafka.Close()

	fmt.Println(clickhouse.TCPAddr, kafka.Addrs)
}
