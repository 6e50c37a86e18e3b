package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/sql"
)

func newSQL() *cobra.Command {
	var config string
	var asJSON, show bool
	cmd := &cobra.Command{
		Use:   "sql [NAME [PARAM=VALUE...]]",
		Short: "Answer an analyst's question from the warehouse",
		Long: `Sql runs one of the questions that come with tocsin and prints the answer: everything about a commit, what grows and
because of whom, which blocked elements are in a release, time to fix, deployment frequency. Without a name it lists
them. What a parameter's value is without PARAM=VALUE, the list says. The queries only read; --show prints one instead,
to be run or changed elsewhere.`,
		Example: `  tocsin sql
  tocsin sql -c tocsin.yaml growth
  tocsin sql -c tocsin.yaml commit commit=4b825dc642cb6eb9a060e54bf8d69288fbee4904
  tocsin sql --show lineage`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			out := cmd.OutOrStdout()
			if len(args) == 0 {
				queries, err := sql.Queries()
				if err != nil {
					return err
				}
				return listQueries(out, queries)
			}
			q, err := question(args[0])
			if err != nil {
				return err
			}
			params, err := values(q, args[1:])
			if err != nil {
				return err
			}
			if show {
				_, err = fmt.Fprintln(out, q.Text)
				return err
			}
			if config == "" {
				return errors.New("-c FILE is needed: it says where the warehouse is")
			}
			_, db, err := openWarehouse(cmd.Context(), config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			columns, rows, err := db.QueryJSON(cmd.Context(), q.Text, params, clickhouse.Limits{Rows: 10_000, Time: time.Minute})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(out, columns, rows)
			}
			return writeTable(out, columns, rows)
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for the warehouse")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object a row")
	cmd.Flags().BoolVar(&show, "show", false, "print the query, do not run it")
	return cmd
}

// question returns the query of a name.
func question(name string) (sql.Query, error) {
	queries, err := sql.Queries()
	if err != nil {
		return sql.Query{}, err
	}
	i := slices.IndexFunc(queries, func(q sql.Query) bool { return q.Name == name })
	if i < 0 {
		return sql.Query{}, fmt.Errorf("no question is named %q; 'tocsin sql' lists them", name)
	}
	return queries[i], nil
}

func listQueries(out io.Writer, queries []sql.Query) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, q := range queries {
		var params []string
		for _, p := range q.Params {
			params = append(params, p.Name+"="+p.Default)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", q.Name, q.Question, strings.Join(params, " "))
	}
	return w.Flush()
}

// values returns the query's parameters: their defaults, and in their place what the arguments say.
func values(q sql.Query, args []string) (map[string]any, error) {
	params := map[string]any{}
	var names []string
	for _, p := range q.Params {
		params[p.Name] = p.Default
		names = append(names, p.Name)
	}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || !slices.Contains(names, name) {
			return nil, fmt.Errorf("%s: %q, want PARAM=VALUE with one of: %s", q.Name, arg, strings.Join(names, ", "))
		}
		params[name] = value
	}
	return params, nil
}

func writeTable(out io.Writer, columns []clickhouse.Column, rows [][]any) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, c := range columns {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, strings.ToUpper(c.Name))
	}
	fmt.Fprintln(w)
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			switch v := v.(type) {
			case nil:
				fmt.Fprint(w, "-")
			case time.Time:
				fmt.Fprint(w, v.UTC().Format("2006-01-02 15:04:05"))
			default:
				fmt.Fprint(w, strings.Join(strings.Fields(fmt.Sprint(v)), " ")) // a tab or newline would break the table
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func writeJSON(out io.Writer, columns []clickhouse.Column, rows [][]any) error {
	enc := json.NewEncoder(out)
	for _, row := range rows {
		object := make(map[string]any, len(columns))
		for i, c := range columns {
			object[c.Name] = row[i]
		}
		if err := enc.Encode(object); err != nil {
			return err
		}
	}
	return nil
}
