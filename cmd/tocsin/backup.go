package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
)

func newBackup() *cobra.Command {
	var config, to, base string
	cmd := &cobra.Command{
		Use:   "backup -c FILE --to DESTINATION",
		Short: "Back the warehouse up, and prove that it comes back",
		Long: `Backup writes the whole database to a destination of ClickHouse's own BACKUP, restores it into a database beside it,
compares rows and sums of every table with what was there before and after, and drops that again. {time} in the
destination becomes the time; --base makes it incremental. Events may come in meanwhile.

What came of it goes to standard output as an event backup.finished, which rule C20 waits for: send it where tocsin reads.
Exit status: 0 the backup is verified, 2 it is not.`,
		Example: `  tocsin backup -c tocsin.yaml --to "Disk('backups', 'tocsin-{time}')" | tocsin send -c tocsin.yaml --topic raw.people
  tocsin backup -c tocsin.yaml --to "S3('https://s3.example.com/backups/{time}', 'key', 'secret')" --base "Disk('backups', 'tocsin-20261101T000000Z')"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			_, db, err := openWarehouse(cmd.Context(), config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			start := time.Now().UTC()
			b, err := db.Backup(cmd.Context(), strings.ReplaceAll(to, "{time}", start.Format("20060102T150405Z")), base)
			if eventErr := writeBackupEvent(cmd.OutOrStdout(), b, start, err); eventErr != nil {
				return errors.Join(err, eventErr)
			}
			if err != nil {
				return err
			}
			out := cmd.ErrOrStderr()
			fmt.Fprintf(out, "%d files, %d bytes, written and read back in %v\n", b.Files, b.Bytes, b.Took.Round(time.Millisecond))
			for _, t := range b.Tables {
				fmt.Fprintf(out, "  %-16s %12d rows\n", t.Table, t.Rows)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for the warehouse")
	cmd.Flags().StringVar(&to, "to", "", "destination: Disk('backups', 'NAME'), File('NAME') or S3('URL', 'KEY', 'SECRET')")
	cmd.Flags().StringVar(&base, "base", "", "destination of the backup that this one continues")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// writeBackupEvent writes the backup as a CloudEvent of ours.
func writeBackupEvent(out io.Writer, b clickhouse.Backup, start time.Time, failure error) error {
	outcome, title := pipeline.OutcomeSuccess, fmt.Sprintf("backup of %d tables verified, %d bytes", len(b.Tables), b.Bytes)
	kind := "full"
	if b.Base != "" {
		kind = "incremental"
	}
	if failure != nil {
		outcome, title = pipeline.OutcomeFailure, "backup failed: "+failure.Error()
	}
	return json.NewEncoder(out).Encode(map[string]any{
		"specversion": "1.0", "type": "dev.tocsin.backup.finished", "id": uuid.NewString(), "source": "/tocsin/backup",
		"time": start.Format(time.RFC3339Nano), "datacontenttype": "application/json",
		"data": map[string]string{
			"phase": pipeline.PhaseMonitoring, "outcome": outcome, "title": title, "service": "tocsin",
			"metric_name": "backup.bytes", "metric_value": fmt.Sprint(b.Bytes),
			"attributes.backup.kind": kind, "attributes.backup.files": fmt.Sprint(b.Files),
		},
	})
}

func newRestore() *cobra.Command {
	var config, from, into string
	cmd := &cobra.Command{
		Use:   "restore -c FILE --from DESTINATION",
		Short: "Bring the warehouse back from a backup",
		Long: `Restore reads a backup into the configured database, or into the one that --into names, to look at it. It never writes into
tables that hold rows: a database that is damaged is renamed or dropped first, by hand. After it, 'tocsin run' goes on where its
committed offsets are: events between the backup and the loss are in Kafka still, as far as its retention reaches.`,
		Example: `  tocsin restore -c tocsin.yaml --from "Disk('backups', 'tocsin-20261101T000000Z')"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, db, err := openWarehouse(cmd.Context(), config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			if into == "" {
				into = cfg.ClickHouse.Database
			}
			if err := db.Restore(cmd.Context(), from, into); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "restored into %s\n", into)
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for the warehouse")
	cmd.Flags().StringVar(&from, "from", "", "destination of the backup, as given to 'tocsin backup'")
	cmd.Flags().StringVar(&into, "into", "", "database to restore into; the configured one when not given")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagRequired("from")
	return cmd
}
