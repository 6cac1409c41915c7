package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/platform/ipc"
)

// relayPatience is how long the agent may take to accept the connection.
const relayPatience = 5 * time.Second

// relayCmd joins standard input and output with the agent's endpoint, for
// programs whose language cannot open the pipe of Windows with the rights that
// the agent gives (docs/adr/0012-pipes-for-java-and-node.md). It adds nothing
// and is believed in nothing: who asks verifies the answer.
func (a *app) relayCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "relay",
		Short: "Join standard input and output with the agent's socket or pipe",
		Long: `One connection to the agent, for programs in languages that cannot open the pipe
themselves. It ends when the agent or standard input ends, and a seat taken on it
ends with it.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.relay(c.Context()) },
	}
}

func (a *app) relay(ctx context.Context) error {
	p, err := a.layout()
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	conn, err := ipc.Dial(within, p.Socket, ipc.DialOptions{})
	var late net.Error // also of a socket whose listener takes nobody in
	switch {
	case errors.Is(err, ipc.ErrNotRunning):
		return a.problem(api.CodeNotRunning, err)
	case errors.Is(err, ipc.ErrForeignOwner), errors.Is(err, ipc.ErrNotSocket), errors.Is(err, ipc.ErrNoIdentity):
		return a.problem(api.CodeWrongOwner, err)
	case errors.Is(err, fs.ErrPermission):
		return a.problem(api.CodeNoAccess, err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		return a.problem(api.CodeTimeout, err)
	case err != nil:
		return fmt.Errorf("relay: %w", err)
	}
	ended := make(chan error, 2)
	carry := func(to io.Writer, from io.Reader) {
		_, err := io.Copy(to, from)
		ended <- err
	}
	go carry(conn, a.stdin)
	go carry(a.stdout, conn)
	select {
	// Whoever hangs up first ends it. What it hung up with is the other side's
	// business: there is nobody here to tell.
	case <-ended:
	case <-ctx.Done():
	}
	return conn.Close()
}
