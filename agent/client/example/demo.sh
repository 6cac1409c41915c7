#!/usr/bin/env bash
# The main job from end to end, without network and without root: a vendor's
# merchant service, a customer's machine, a licensed program, and the same once
# more for a machine without network. Exit status 0 only if every step did what
# it says. Usage: demo.sh BIN-DIRECTORY
set -euo pipefail
bin=$(cd "$1" && pwd)
work=$(mktemp -d)
declare -a started=() programs=()
finish() {
  status=$?
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ $status -ne 0 ]; then
    echo; echo "The demo FAILED (exit status $status). Logs:"
    tail -n 20 "$work"/*.log 2>/dev/null || true
  fi
  rm -rf "$work"
  exit $status
}
trap finish EXIT
# Nothing of the caller's own set-up may leak in.
unset LICENSE_AGENT_DIR LICENSE_AGENT_SOCKET LICENSE_MERCHANT_DIR LANG LC_ALL

step=0
say() { step=$((step + 1)); printf '\n%2d. %s\n' "$step" "$*"; }
show() { sed 's/^/      /'; }
fail() { echo "   $*" >&2; exit 1; }
merchant() { "$bin/license-merchant" --dir "$work/merchant" "$@"; }
agent() { "$bin/license-agent" --dir "$1" "${@:2}"; }
# await FILE PID: waits until a program has written FILE, or fails when it died.
await() {
  for _ in $(seq 200); do
    [ -e "$1" ] && return
    kill -0 "$2" 2>/dev/null || fail "process $2 ended before $1 appeared"
    sleep 0.05
  done
  fail "$1 did not appear within 10 seconds"
}
phase() { agent "$1" status --output json | grep -o '"phase": *"[a-z-]*"' | head -1 | sed 's/.*"\([a-z-]*\)"$/\1/'; }

# start_agent NAME: a daemon with its own directory that knows the vendor's anchor.
start_agent() {
  local base=$work/$1/license-agent
  mkdir -p "$base/etc/anchors"
  cp "$work/merchant/anchor.json" "$base/etc/anchors/acme.json"
  # Not through the function: $! would be a shell, and its end not the agent's.
  "$bin/license-agent" --dir "$work/$1" run >"$work/$1.log" 2>&1 &
  started+=($!)
  socket=$base/run/agent.sock
  await "$socket" $!
  echo "      listening on a Unix socket, knows the trust anchor of acme"
}

say "The vendor sets up its merchant service: fresh keys, SQLite, TLS with its own authority."
merchant init --issuer acme --threshold 1-of-1 --tls loopback | show
"$bin/license-merchant" --dir "$work/merchant" serve --listen 127.0.0.1:0 --address-file "$work/address" >"$work/merchant.log" 2>&1 &
started+=($!)
await "$work/address" $!
echo "      listening on $(cat "$work/address")"

say "The vendor sells a code: product studio, two machines, two seats on each, one year. (By default a machine
    without any serial of its own is refused; build servers are often such, so it is allowed here.)"
(umask 077; merchant codes add --product studio --edition pro --feature export,mesh --devices 2 --seats 2 --valid-days 365 --allow-unidentified --out "$work/code" | show)
[ "$(stat -c %a "$work/code")" = 600 ] || fail "the code lies in a file that others can read"

say "The customer starts the agent and types the code once (here it is read from a file)."
start_agent desk
agent "$work/desk" activate --code-file "$work/code" --yes 2>&1 | show
[ "$(phase "$work/desk")" = active ] || fail "phase is $(phase "$work/desk"), not active"

say "license-agent status"
agent "$work/desk" status | show

say "license-agent why"
agent "$work/desk" why | show

say "The same question by curl, over the Unix socket"
curl -sS --fail --unix-socket "$socket" http://license-agent/v1/status | head -c 400 | show; echo
curl -sS --fail --unix-socket "$socket" http://license-agent/v1/status | grep -q '"runs": *true' || fail "curl was not told that the product runs"

say "A program that knows only the vendor's trust anchor checks the answer itself."
"$bin/example" "$work/merchant/anchor.json" "$socket" studio | show
echo '      the same program with another vendor'"'"'s anchor:'
"$bin/license-merchant" --dir "$work/stranger" init --issuer acme --threshold 1-of-1 >/dev/null
if "$bin/example" "$work/stranger/anchor.json" "$socket" studio >"$work/stranger.txt" 2>&1; then fail "an answer of another vendor was believed"; fi
show <"$work/stranger.txt"

say "Two programs take the two seats and work; a third finds them taken."
program=("$bin/example" "$work/merchant/anchor.json" "$socket" studio work)
# start_program N: in the background, until it says that it works.
start_program() {
  local out=$work/program$1.txt
  : >"$out"
  "${program[@]}" >"$out" 2>&1 &
  programs[$1]=$!
  started+=($!)
  until grep -q working "$out"; do kill -0 "${programs[$1]}" 2>/dev/null || fail "program $1: $(cat "$out")"; sleep 0.05; done
}
start_program 1
start_program 2
head -n 1 "$work/program1.txt" "$work/program2.txt" | grep working | show
if "${program[@]}" >"$work/program3.txt" 2>&1; then fail "a third program has taken one of two seats"; fi
show <"$work/program3.txt"
agent "$work/desk" seats list | show
agent "$work/desk" seats list | grep -q '2 of 2 seats taken' || fail "the list does not show two seats taken"

say "The first is killed (kill -9): its seat is free at once, and the third gets it."
kill -9 "${programs[1]}"
wait "${programs[1]}" 2>/dev/null || true
start_program 3
show <"$work/program3.txt"

say "The vendor freezes the code; the agent hears of it at its next contact, and the programs from the agent."
id=$(merchant codes list --output json | grep -o '"id": *"c-[^"]*"' | head -1 | sed 's/.*"\(c-[^"]*\)"$/\1/')
merchant codes freeze "$id" --reason demo | show
agent "$work/desk" renew >/dev/null
[ "$(phase "$work/desk")" = suspended ] || fail "phase is $(phase "$work/desk"), not suspended"
for n in 2 3; do
  if wait "${programs[n]}"; then fail "program $n works on without a license"; fi
done
show <"$work/program2.txt"
agent "$work/desk" status | show || true
if "$bin/example" "$work/merchant/anchor.json" "$socket" studio >/dev/null 2>&1; then fail "the program runs on a frozen code"; fi
merchant codes unfreeze "$id" | show
agent "$work/desk" renew >/dev/null
[ "$(phase "$work/desk")" = active ] || fail "phase is $(phase "$work/desk") after unfreezing"
echo "      and unfreezes it: phase active again"

say "A second machine, without network: request file, answer file, import."
start_agent island
(umask 077; agent "$work/island" request --code-file "$work/code" >"$work/island.req")
echo "      license-agent request    > island.req   ($(stat -c %s "$work/island.req") bytes, signed by the device)"
merchant answer "$work/island.req" >"$work/island.lic"
echo "      license-merchant answer  > island.lic   ($(stat -c %s "$work/island.lic") bytes, signed by the vendor)"
agent "$work/island" import "$work/island.lic" | show
[ "$(phase "$work/island")" = active ] || fail "phase is $(phase "$work/island") after the import"
"$bin/example" "$work/merchant/anchor.json" "$socket" studio | show
if agent "$work/island" import "$work/island.lic" >"$work/again.txt" 2>&1; then fail "the same answer was imported twice"; fi
echo "      the same answer a second time:"; show <"$work/again.txt"

printf '\nEvery step did what it says.\n'
