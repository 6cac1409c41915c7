package packaging

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the three kinds of manifest may hold and must hold, from winget's own
// schemas of version 1.6.0 (github.com/microsoft/winget-cli, MIT,
// schemas/JSON/manifests/v1.6.0/manifest.{version,installer,defaultLocale}.1.6.0.json).
// Only the members that we use are listed, so that a misspelt one is unknown.
type wingetRule struct {
	file     string
	required []string
	known    map[string]string // member → pattern of its value, "" for any
}

const (
	wingetID      = `^[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}(\.[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}){1,7}$`
	wingetVersion = `^[^\\/:\*\?"<>\|\x01-\x1f]{1,128}$`
	wingetLocale  = `^([a-zA-Z]{2,3}|[iI]-[a-zA-Z]+|[xX]-[a-zA-Z]{1,8})(-[a-zA-Z]{1,8})*$`
	wingetSyntax  = `^1\.6\.0$`
)

func wingetRules() []wingetRule {
	return []wingetRule{
		{
			"version",
			[]string{"PackageIdentifier", "PackageVersion", "DefaultLocale", "ManifestType", "ManifestVersion"},
			map[string]string{
				"PackageIdentifier": wingetID, "PackageVersion": wingetVersion, "DefaultLocale": wingetLocale,
				"ManifestType": `^version$`, "ManifestVersion": wingetSyntax,
			},
		},
		{
			"locale.en-US",
			[]string{"PackageIdentifier", "PackageVersion", "PackageLocale", "Publisher", "PackageName", "License", "ShortDescription", "ManifestType", "ManifestVersion"},
			map[string]string{
				"PackageIdentifier": wingetID, "PackageVersion": wingetVersion, "PackageLocale": wingetLocale, "Publisher": `^.{2,256}$`,
				"PackageName": `^.{2,256}$`, "License": `^.{3,512}$`, "ShortDescription": `^.{3,256}$`,
				"ManifestType": `^defaultLocale$`, "ManifestVersion": wingetSyntax,
			},
		},
		{
			"installer",
			[]string{"PackageIdentifier", "PackageVersion", "Installers", "Installers.Architecture", "Installers.InstallerUrl", "Installers.InstallerSha256", "ManifestType", "ManifestVersion"},
			map[string]string{
				"PackageIdentifier": wingetID, "PackageVersion": wingetVersion, "MinimumOSVersion": `^\d{1,5}(\.\d{1,5}){0,3}$`, "Scope": `^(user|machine)$`,
				"InstallModes":    `^\[(interactive|silent|silentWithProgress)(, (interactive|silent|silentWithProgress)){0,2}\]$`,
				"UpgradeBehavior": `^(install|uninstallPrevious)$`, "ElevationRequirement": `^(elevationRequired|elevationProhibited|elevatesSelf)$`,
				"ReleaseDate": `^\d{4}-\d{2}-\d{2}$`, "Installers": `^$`, "ManifestType": `^installer$`, "ManifestVersion": wingetSyntax,
				"Installers.Architecture": `^(x86|x64|arm|arm64|neutral)$`, "Installers.InstallerType": `^(msix|msi|appx|exe|zip|inno|nullsoft|wix|burn|pwa|portable)$`,
				"Installers.InstallerUrl": `^([Hh][Tt][Tt][Pp][Ss]?)://.+$`, "Installers.InstallerSha256": `^[A-Fa-f0-9]{64}$`,
				"Installers.ProductCode": `^.{1,255}$`,
			},
		},
	}
}

// wingetFaults holds one manifest, with what .ci/msi puts in, against its rule.
func wingetFaults(r wingetRule, text string) (out []string) {
	seen := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(text))
	top := ""
	for lines.Scan() {
		line := lines.Text()
		indented := strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "  ")
		name, value, ok := strings.Cut(strings.TrimLeft(line, "- "), ":")
		if !ok {
			out = append(out, "not a member: "+line)
			continue
		}
		if indented {
			name = top + "." + name
		} else {
			top = name
		}
		value = strings.Trim(strings.TrimSpace(value), "'")
		pattern, known := r.known[name]
		switch {
		case !known:
			out = append(out, "unknown member "+name)
		case seen[name]:
			out = append(out, "twice: "+name)
		case !regexp.MustCompile(pattern).MatchString(value):
			out = append(out, name+" is "+value)
		}
		seen[name] = true
	}
	for _, name := range r.required {
		if !seen[name] {
			out = append(out, "missing: "+name)
		}
	}
	return out
}

// The winget manifests keep to winget's schemas. Each spoiled one is found.
func TestWingetManifests(t *testing.T) {
	fill := strings.NewReplacer("@ID@", "LicenseAgent.LicenseAgent", "@VERSION@", "1.2.3", "@TITLE@", "License Agent", "@DATE@", "2026-11-26",
		"@PRODUCT@", "{AC90F1E1-A485-598E-9B8E-4A6E02E3B73C}", "@URL@", "https://licenseagent.example/download/license-agent-1.2.3-windows", "@MSI@", strings.Repeat("A0", 32))
	for _, r := range wingetRules() {
		b, err := os.ReadFile(filepath.Join("winget", r.file+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		text := fill.Replace(string(b))
		if strings.Contains(text, "@") {
			t.Errorf("%s: something is not filled in:\n%s", r.file, text)
		}
		for _, f := range wingetFaults(r, text) {
			t.Errorf("%s: %s", r.file, f)
		}
		// Control: without each line, and with each one misspelt.
		lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
		for i, line := range lines {
			name, _, _ := strings.Cut(strings.TrimLeft(line, "- "), ":")
			if slices.Contains(r.required, name) && len(wingetFaults(r, strings.Join(slices.Delete(slices.Clone(lines), i, i+1), ""))) == 0 {
				t.Errorf("%s: control: %s is not missed", r.file, name)
			}
			spoiled := slices.Clone(lines)
			spoiled[i] = strings.Replace(line, name, name+"X", 1)
			if len(wingetFaults(r, strings.Join(spoiled, ""))) == 0 {
				t.Errorf("%s: control: %sX is accepted", r.file, name)
			}
		}
	}
}
