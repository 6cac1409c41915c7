package fixture

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A program that waits for a seat asks again when the agent hangs up, as one does
// that is started anew. Each prints with what it ended. Needs a compiler for C and
// for C# (mono), Java, Node.js and Python with its package cryptography.
func TestSeatWaitsForARestart(t *testing.T) {
	anchor := filepath.Join(t.TempDir(), "anchor.json")
	if err := os.WriteFile(anchor, []byte(`{"v":1,"iss":"acme","roots":{"threshold":1,"keys":[{"alg":"ed25519","pub":"Evs6GszAN743jH7BH7xItfvfctMXLUE8DkUvl6ZTHko="}]}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct{ name, file, text, script string }{
		{"c", "main.c", `
#include "license_agent.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    static char a[65536];
    static la_verdict v;
    la_options o;
    la_error e;
    la_seat *s;
    memset(&o, 0, sizeof o), memset(&e, 0, sizeof e);
    o.socket = argv[2];
    FILE *f = fopen(argv[1], "rb");
    license_agent *la = la_new(a, fread(a, 1, sizeof a, f), &o, &e);
    la_seat_take(la, "studio", NULL, 20000, &s, &v, &e);
    puts(e.code);
    return 0;
}`, `gcc -I../c main.c ../c/license_agent*.c -o "$W/main" && "$W/main" "$1" "$2"`},
		{"python", "main.py", `
import sys
from license_agent import AgentError, Checker
try:
    Checker(open(sys.argv[1]).read(), socket=sys.argv[2]).seat("studio", wait=20.0)
except AgentError as e:
    print(e.code)
`, `PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=../python /usr/bin/python3 main.py "$1" "$2"`},
		{"node", "main.js", `
const { Checker } = require(process.cwd() + '/../node');
const k = new Checker(require('node:fs').readFileSync(process.argv[2]), { socket: process.argv[3] });
k.seat('studio', { waitMs: 20000 }).catch((e) => console.log(e.code)).finally(() => k.close());
`, `node main.js "$1" "$2"`},
		{"java", "Main.java", `
import example.licenseagent.*;
public class Main {
    public static void main(String[] args) throws Exception {
        try (Checker k = Checker.of(java.nio.file.Files.readAllBytes(java.nio.file.Path.of(args[0]))).socket(args[1]).build(); Seat s = k.seat("studio", "", 20000)) {
            System.out.println("held");
        } catch (AgentException e) {
            System.out.println(e.code());
        }
    }
}`, `javac -encoding UTF-8 -d "$W" $(find ../java/src/main -name '*.java') Main.java && java -cp "$W:../java/src/main/resources" Main "$1" "$2"`},
		{"dotnet", "Main.cs", `
using System;
using Example.LicenseAgent;
static class Program {
    static void Main(string[] args) {
        try { new Checker(System.IO.File.ReadAllBytes(args[0]), new Options { Socket = args[1] }).Seat("studio", "", TimeSpan.FromSeconds(20)); }
        catch (AgentException e) { Console.WriteLine(e.Code); }
    }
}`, `mcs -codepage:utf8 -r:System.Core -r:System.Numerics "-out:$W/main.exe" ../dotnet/src/*.cs Main.cs && mono "$W/main.exe" "$1" "$2"`},
	} {
		t.Run(l.name, func(t *testing.T) {
			var asked atomic.Int32
			socket := filepath.Join(t.TempDir(), "s")
			ln, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 {
					panic(http.ErrAbortHandler) // the agent ends
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusConflict)
				_, _ = w.Write([]byte(`{"error":{"code":"seats-taken","message":"All seats are taken."}}`))
			})}
			go srv.Serve(ln) //nolint:errcheck // until the end
			defer srv.Close()
			work := filepath.Join("..", "waits-"+l.name) // beside the clients
			if err := os.Mkdir(work, 0o755); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(work)
			if err := os.WriteFile(filepath.Join(work, l.file), []byte(l.text), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-ec", l.script, "sh", anchor, socket)
			cmd.Dir, cmd.Env = work, append(os.Environ(), "W="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if said := strings.TrimSpace(string(out)); said != "seats-taken" || asked.Load() != 2 {
				t.Errorf("%s gave up: %s after %d attempts", l.name, said, asked.Load())
			}
		})
	}
}
