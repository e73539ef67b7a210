//go:build linux

package sandboxcli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// newImage is the group of verbs for the store of images.
func newImage(s console.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Pull, list and remove the images that sandboxes are made from",
		Long: `Manage this user's images. All commands share one store: an image is loaded and
unpacked once, its layers are compared with their digests, and what a sandbox
uses is not removed.`,
		Example: "  bulkhead image pull debian:12\n  bulkhead image ls\n  bulkhead image rm debian:12\n  bulkhead image gc --all",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return console.UsageError(fmt.Errorf("unknown verb %q", "image "+args[0]), "`bulkhead image --help` lists the verbs")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImageLs(s), newImagePull(s), newImageLoad(s), newImageRm(s), newImageGC(s))
	return cmd
}

// imageStore is this user's store of images.
func imageStore() (*image.Store, error) {
	cache, guest, err := guestBinary()
	if err != nil {
		return nil, err
	}
	return image.NewStore(cache, guest), nil
}

// completeImages completes the names of the store.
func completeImages(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if st, err := imageStore(); err == nil {
		records, _ := st.List() // a completion has nowhere to complain
		for _, r := range records {
			names = append(names, r.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// shortID is an ID as people read it.
func shortID(hex string) string { return hex[:min(12, len(hex))] }

// imageRow is an image in JSON.
type imageRow struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"`
	Digest   string    `json:"digest"`
	Platform string    `json:"platform"`
	Size     int64     `json:"sizeBytes"`
	Created  time.Time `json:"created"`
	Added    time.Time `json:"added"`
}

func newImageLs(s console.Streams) *cobra.Command {
	var quiet, full bool
	var output string
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List the images of this user",
		Long: `List the names of the store. The size is that of the layers as they were loaded;
unpacked they take more.`,
		Example: "  bulkhead image ls\n  bulkhead image ls -o json\n  bulkhead image rm $(bulkhead image ls -q)",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := tableOrJSON(output); err != nil {
				return err
			}
			st, err := imageStore()
			if err != nil {
				return err
			}
			records, err := st.List()
			if err != nil {
				return err
			}
			switch {
			case output == "json":
				return writeImagesJSON(s.Out, records)
			case quiet:
				return writeIDs(s.Out, records, full)
			}
			return writeImages(s.Out, records, full, time.Now())
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print IDs only")
	cmd.Flags().BoolVar(&full, "no-trunc", false, "print whole IDs")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func writeImagesJSON(w io.Writer, records []image.Record) error {
	rows := []imageRow{}
	for _, r := range records {
		rows = append(rows, imageRow{r.Name, r.ID.String(), r.Manifest.Digest.String(), r.Platform.String(), r.Size, r.Created, r.Added})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

func imageID(r image.Record, full bool) string {
	if full {
		return r.ID.String()
	}
	return shortID(r.ID.Hex)
}

// writeIDs prints each image once, however many names it has.
func writeIDs(w io.Writer, records []image.Record, full bool) error {
	var ids []string
	for _, r := range records {
		if id := imageID(r, full); !slices.Contains(ids, id) {
			ids = append(ids, id)
			if _, err := fmt.Fprintln(w, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeImages(w io.Writer, records []image.Record, full bool, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE")
	for _, r := range records {
		repository, tag := r.Name, "<none>"
		if name, _, ok := strings.Cut(r.Name, "@"); ok {
			repository = name
		} else if i := strings.LastIndexByte(r.Name, ':'); i > 0 {
			repository, tag = r.Name[:i], r.Name[i+1:]
		}
		created := "N/A"
		if !r.Created.IsZero() {
			created = units.HumanDuration(now.Sub(r.Created)) + " ago"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", repository, tag, imageID(r, full), created, units.HumanSize(float64(r.Size)))
	}
	return tw.Flush()
}

func newImagePull(s console.Streams) *cobra.Command {
	var platform string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "pull [flags] NAME[:TAG|@DIGEST]...",
		Short: "Load images from their registries into the store",
		Long: `Load images with the credentials of docker or podman (docker login, podman login;
DOCKER_CONFIG). A registry on this machine (loopback) may do without TLS.

An image for another platform is kept, and not run.`,
		Example: "  bulkhead image pull debian:12\n  bulkhead image pull --platform linux/arm64 -q registry.example/team/app@sha256:...",
		Args:    oneOrMoreImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := image.ParsePlatform(platform)
			if err != nil {
				return console.UsageError(err, "")
			}
			st, err := imageStore()
			if err != nil {
				return err
			}
			for _, arg := range args {
				ref, err := image.ParseReference(arg)
				if err != nil {
					return console.UsageError(err, "")
				}
				tell, done := loading(s, ref)
				rec, err := st.Pull(cmd.Context(), ref, image.PullOptions{Platform: p, Progress: tell})
				done()
				if err != nil {
					return err
				}
				said(s, rec, quiet)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&platform, "platform", "", "OS/ARCH[/VARIANT] (default: this machine's)")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print IDs only")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions([]string{"linux/amd64", "linux/arm64"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// said prints what is in the store now.
func said(s console.Streams, r image.Record, quiet bool) {
	if quiet {
		fmt.Fprintln(s.Out, r.ID.String())
		return
	}
	fmt.Fprintf(s.Out, "%s  %s\n", r.Name, shortID(r.ID.Hex))
}

func newImageLoad(s console.Streams) *cobra.Command {
	var input, tag string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "load [flags] [oci:DIR[:TAG] | docker-archive:FILE[:NAME:TAG]]",
		Short: "Load an image from an archive or a folder into the store",
		Long: `Load an image that docker save or podman save wrote, or one of an OCI layout, and
keep it under its own name, or the one that --tag gives it.`,
		Example: "  bulkhead image load -i app.tar\n  docker save app:v1 | bulkhead image load\n  bulkhead image load --tag app:v1 oci:build/layout",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if input != "" && len(args) > 0 {
				return console.UsageError(errors.New("-i and a reference exclude each other"), "give one of them")
			}
			st, err := imageStore()
			if err != nil {
				return err
			}
			p := console.NewProgress(s.Err)
			p.Say("loading")
			var records []image.Record
			switch {
			case len(args) > 0:
				records, err = st.Load(cmd.Context(), args[0], tag)
			case input != "":
				records, err = st.Load(cmd.Context(), "docker-archive:"+input, tag)
			default:
				records, err = st.LoadFrom(cmd.Context(), s.In, tag)
			}
			p.Done()
			if err != nil {
				return err
			}
			for _, r := range records {
				said(s, r, quiet)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "archive to read (default: standard input)")
	cmd.Flags().StringVar(&tag, "tag", "", "name of the image in the store (default: its own)")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print IDs only")
	return cmd
}

func newImageRm(s console.Streams) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "rm [flags] NAME|ID...",
		Short:             "Remove images",
		Long:              "Remove names. The image goes with its last name, unless a sandbox uses it: then it is an error.",
		Example:           "  bulkhead image rm debian:12\n  bulkhead image rm --force 3f5a0c91b2d4",
		Args:              oneOrMoreImages,
		ValidArgsFunction: completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := imageStore()
			if err != nil {
				return err
			}
			// As docker: one that cannot be removed does not keep the others.
			var failed error
			for _, arg := range args {
				gone, err := st.Remove(cmd.Context(), arg, force)
				failed = errors.Join(failed, err)
				for _, name := range gone.Names {
					fmt.Fprintln(s.Out, "Untagged:", name)
				}
				for _, id := range gone.IDs {
					fmt.Fprintln(s.Out, "Deleted:", id)
				}
			}
			return failed
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove an ID with all its names")
	return cmd
}

func newImageGC(s console.Streams) *cobra.Command {
	var all bool
	var output string
	cmd := &cobra.Command{
		Use:     "gc [flags]",
		Aliases: []string{"prune"},
		Short:   "Remove what no name and no sandbox needs",
		Long: `Remove what crashes left, layers that no image has, and images without a name
(run --image oci:DIR). With --all also the names of images that no sandbox uses.`,
		Example: "  bulkhead image gc\n  bulkhead image gc --all -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := tableOrJSON(output); err != nil {
				return err
			}
			st, err := imageStore()
			if err != nil {
				return err
			}
			gone, err := st.GC(cmd.Context(), all)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(s.Out).Encode(map[string]any{"names": append([]string{}, gone.Names...), "freedBytes": gone.Bytes})
			}
			for _, name := range gone.Names {
				fmt.Fprintln(s.Out, "Untagged:", name)
			}
			fmt.Fprintln(s.Out, "Total reclaimed space:", units.HumanSize(float64(gone.Bytes)))
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also remove the images that no sandbox uses")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func oneOrMoreImages(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return console.UsageError(errors.New("no image named"), fmt.Sprintf("see `%s --help`; `bulkhead image ls` lists images", cmd.CommandPath()))
	}
	return nil
}
