// Package wine holds the tests that take a Windows installation through its
// life under Wine's service manager and installer, against a merchant service
// that runs on Linux. They are built with the tag e2e for Windows and started by
// .ci/wine.
package wine
