package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/processors/sigma"
)

// sigmaArchive is where the public rules come from; %s is a branch, tag or commit.
const sigmaArchive = "https://github.com/SigmaHQ/sigma/archive/%s.tar.gz"

// Bounds of an archive. The public one has 4,000 rules in 20 MB.
const (
	maxFetchFile  = 1 << 20
	maxFetchTotal = 256 << 20
	maxFetchTime  = 5 * time.Minute
)

// fetchedMark is the file by which fetch knows a directory of its own.
const fetchedMark = "FETCHED.txt"

func newSigmaFetch() *cobra.Command {
	var ref, from string
	var all bool
	cmd := &cobra.Command{
		Use:   "fetch DIR",
		Short: "Fetch the public Sigma rules, and say which of them can fire here",
		Long: `Fetch downloads the public rules into DIR, which must not be there, or be of an earlier fetch: it is then replaced as a whole.
Only the rules are kept that are about making and running software (forges, clusters, clouds, Okta, Linux, web servers,
applications, databases) and are meant to run; --all keeps all that are meant to run. The rules are their authors', under the Detection Rule
License 1.1, which is put beside them. What is refused, and what can never fire on the events of tocsin's parsers, is listed.`,
		Example: `  tocsin sigma fetch rules/sigma
  tocsin sigma fetch --from sigma.tar.gz rules/sigma`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := filepath.Clean(args[0])
			if _, err := os.Stat(filepath.Join(dir, fetchedMark)); err != nil {
				if _, err := os.Lstat(dir); err == nil {
					return fmt.Errorf("%s is there, and not of an earlier fetch: nothing is replaced", dir)
				}
			}
			if from == "" {
				from = fmt.Sprintf(sigmaArchive, ref)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), maxFetchTime)
			defer cancel()
			archive, err := openArchive(ctx, from)
			if err != nil {
				return fmt.Errorf("fetch %s: %w", from, err)
			}
			defer archive.Close()
			files, licenses, err := readArchive(archive)
			if err != nil {
				return fmt.Errorf("fetch %s: %w", from, err)
			}
			set := sigma.Load(files, sigma.Options{})
			if !all {
				set.Keep(func(r *sigma.Rule) bool { return r.IsCurated() })
			}
			if len(set.Rules) == 0 {
				return fmt.Errorf("fetch %s: it holds no rules", from)
			}
			kept := map[string]bool{}
			for _, r := range slices.Concat(set.Rules, set.Correlations) {
				kept[r.Path] = true
			}
			files = slices.DeleteFunc(files, func(f sigma.File) bool { return !kept[f.Path] })
			if err := writeRules(dir, from, append(files, licenses...)); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d rules from %s are in %s, under the Detection Rule License 1.1: see LICENSE*\n", len(set.Rules), from, dir)
			return writeFires(cmd.OutOrStdout(), set, sigma.DefaultTaxonomy())
		},
	}
	cmd.Flags().StringVar(&ref, "ref", "master", "branch, tag or commit of the public repository")
	cmd.Flags().StringVar(&from, "from", "", "URL or file of a tar.gz archive to take in place of the public repository's")
	cmd.Flags().BoolVar(&all, "all", false, "keep all rules, not only those about making and running software")
	return cmd
}

// openArchive opens a URL or a file.
func openArchive(ctx context.Context, from string) (io.ReadCloser, error) {
	if !strings.Contains(from, "://") {
		return os.Open(from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, errors.New(res.Status)
	}
	return res.Body, nil
}

// readArchive returns the rules that are meant to run, and the licences. Names are below the archive's one folder.
func readArchive(r io.Reader) (rules, licenses []sigma.File, err error) {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	archive := tar.NewReader(io.LimitReader(zipped, maxFetchTotal))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return rules, licenses, nil
		}
		if err != nil {
			return nil, nil, err
		}
		_, name, _ := strings.Cut(h.Name, "/")
		folder, _, _ := strings.Cut(name, "/")
		isRule := strings.HasPrefix(folder, "rules") && folder != "rules-placeholder" && path.Ext(name) == ".yml"
		isLicense := folder == name && strings.HasPrefix(name, "LICENSE")
		if h.Typeflag != tar.TypeReg || !isRule && !isLicense {
			continue
		}
		if !filepath.IsLocal(name) || h.Size > maxFetchFile {
			return nil, nil, fmt.Errorf("%q (%d bytes) is no rule: nothing is written", h.Name, h.Size)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return nil, nil, err
		}
		if isRule {
			rules = append(rules, sigma.File{Path: name, Data: data})
		} else {
			licenses = append(licenses, sigma.File{Path: name, Data: data})
		}
	}
}

// writeRules writes the files to a folder beside dir, which then takes its place.
func writeRules(dir, from string, files []sigma.File) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	mark := sigma.File{Path: fetchedMark, Data: []byte("Fetched by tocsin sigma fetch from " + from + "\nThe rules are their authors'. The next fetch replaces this directory.\n")}
	for _, f := range append(files, mark) {
		name := filepath.Join(fresh, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil { // it is of an earlier fetch, or not there
		return err
	}
	return os.Rename(fresh, dir)
}

// writeFires says what is refused, which rules can never fire and why, and at last how many can, by log source.
func writeFires(out io.Writer, set *sigma.Set, taxonomy *sigma.Taxonomy) error {
	type row struct {
		source      string
		rules, fire int
	}
	rows := map[string]*row{}
	for _, r := range set.Rules {
		key := r.Source.String()
		if rows[key] == nil {
			rows[key] = &row{source: key}
		}
		rows[key].rules++
		rows[key].fire++
	}
	for _, r := range set.Results {
		if r.Err != nil {
			fmt.Fprintln(out, "refused:", r.Err)
		}
	}
	silent := sigma.NewDetector(set, taxonomy).Silent()
	for _, s := range silent {
		fmt.Fprintf(out, "never fires: %s:%d: %s\n", s.Rule.Path, s.Rule.Line, s.Reason)
		if rows[s.Rule.Source.String()] != nil {
			rows[s.Rule.Source.String()].fire--
		}
	}
	var sorted []*row
	for _, r := range rows {
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, func(a, b *row) int { return strings.Compare(a.source, b.source) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOG SOURCE\tRULES\tCAN FIRE\tNEVER")
	for _, r := range sorted {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", r.source, r.rules, r.fire, r.rules-r.fire)
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%d\n", len(set.Rules), len(set.Rules)-len(silent), len(silent))
	return w.Flush()
}
