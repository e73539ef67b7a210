package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// maxReasonBytes bounds a reason that the guest gives.
const maxReasonBytes = 1 << 10

// Download returns the file or folder at path in the sandbox as a stream for
// archive.Unpack; it is hostile and may have no end. The caller closes it.
func (c *Client) Download(ctx context.Context, path string) (io.ReadCloser, error) {
	res, err := c.archive(ctx, http.MethodGet, url.Values{"path": {path}}, http.NoBody)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusal(res)
	}
	return res.Body, nil
}

// Upload unpacks a stream of archive.Pack at path in the sandbox, or at
// path/name when path is a folder there.
func (c *Client) Upload(ctx context.Context, path, name string, body io.Reader) error {
	res, err := c.archive(ctx, http.MethodPut, url.Values{"path": {path}, "name": {name}}, body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusNoContent {
		return refusal(res)
	}
	return res.Body.Close()
}

func (c *Client) archive(ctx context.Context, method string, query url.Values, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+agentapi.ArchivePath+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("copying: %w", plain(err))
	}
	return res, nil
}

// refusal is the guest's reason; hostile text.
func refusal(res *http.Response) error {
	defer func() { _ = res.Body.Close() }()
	reason, _ := io.ReadAll(io.LimitReader(res.Body, maxReasonBytes))
	return fmt.Errorf("in the sandbox: %s", strings.TrimSpace(string(reason)))
}
