// Command image makes the container image of tocsin from the static binaries of `make release`, without a container engine and
// without a base image: one file, a user that is a number, no shell, no package. The same binaries give the same digest.
//
//	go run ./deploy/image -version VERSION -dist dist
//
// writes dist/image, an OCI layout of all platforms to be pushed, and dist/tocsin-VERSION-image.tar of this machine's platform
// for `docker load`.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

var (
	version = flag.String("version", "", "of the binaries")
	dist    = flag.String("dist", "dist", "folder with the binaries, and for the image")
)

func main() {
	flag.Parse()
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func build() error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var own v1.Image
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := image(arch)
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		if arch == runtime.GOARCH {
			own = img
		}
	}
	dir := filepath.Join(*dist, "image")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	if own != nil {
		tag, err := name.NewTag("tocsin:local")
		if err != nil {
			return err
		}
		if err := tarball.WriteToFile(filepath.Join(*dist, "tocsin-"+*version+"-image.tar"), tag, own); err != nil {
			return err
		}
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

// image is that of one platform.
func image(arch string) (v1.Image, error) {
	binary, err := os.ReadFile(filepath.Join(*dist, "tocsin-"+*version+"-linux-"+arch))
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "etc/tocsin/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "usr/bin/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "usr/bin/tocsin", Mode: 0o755, Size: int64(len(binary))},
	} {
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{"/usr/bin/tocsin"}, Cmd: []string{"run", "-c", "/etc/tocsin/tocsin.yaml"},
		ExposedPorts: map[string]struct{}{"9410/tcp": {}, "9411/tcp": {}}, // console, metrics and health; webhooks
		Labels: map[string]string{
			"org.opencontainers.image.title": "tocsin", "org.opencontainers.image.version": *version, "org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}
