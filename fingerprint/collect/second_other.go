//go:build !windows

package collect

import "context"

// second asks the second sources in this process.
func (c *Collector) second(ctx context.Context) facts {
	return askAll(ctx, c.Host.Root, orDefault(c.CrossTimeout, DefaultCrossTimeout))
}
