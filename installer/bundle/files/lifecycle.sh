#!/bin/sh
# The life of a product and of the license agent that is its own. Each stage
# looks first what is there, so that one that was cut off is finished by running
# it again, and one that is finished does nothing.
#
#   lifecycle.sh install|poststart|start|restart|prestop|stop|update|uninstall [--purge]
#
# As root the agent becomes a service of the machine. With LICENSE_AGENT_DIR=DIR
# everything stays below DIR, without root and without a service manager: start
# and stop then take the agent with them.
# shellcheck disable=SC2154 # name, software, version, instance, issuer: settings.sh
set -eu
umask 022

say() { printf '%s: %s\n' "$software" "$*"; }
fail() { # WHAT NEXT
	told=yes
	printf '%s: %s\n  next: %s\n' "$software" "$1" "$2" >&2
	exit 1
}

# word: a text as one word of a shell, for whoever copies what is printed.
word() {
	case $1 in
	*[!A-Za-z0-9/._-]*) printf %s "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/" ;;
	*) printf %s "$1" ;;
	esac
}
# again STAGE: the command for it, from any folder and for the same place.
again() {
	[ -z "${private:-}" ] || printf 'LICENSE_AGENT_DIR=%s ' "$(word "$LICENSE_AGENT_DIR")"
	printf 'sh %s' "$(word "$here/scripts/$1.sh")"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=/dev/null
. "$here/scripts/settings.sh"
service=license-agent-$instance
stage=${1:-}
[ $# -eq 0 ] || shift

if [ -n "${LICENSE_AGENT_DIR:-}" ]; then
	case $LICENSE_AGENT_DIR in
	/*) ;;
	*) fail "LICENSE_AGENT_DIR is not an absolute path: $LICENSE_AGENT_DIR" "give the whole path" ;;
	esac
	private=yes
	# The agent takes only the plain form of a path for its socket, and what runs is
	# known by that.
	base=
	IFS=/
	set -f
	for part in $LICENSE_AGENT_DIR; do
		case $part in
		'' | .) ;;
		..) fail "LICENSE_AGENT_DIR has .. in it: $LICENSE_AGENT_DIR" "give the path without it" ;;
		*) base=$base/$part ;;
		esac
	done
	set +f
	unset IFS
	LICENSE_AGENT_DIR=${base:-/} base=$base/$service
	etc=$base/etc run=$base/bundle agent=$base/bin/license-agent log=$base/log
	socket=$base/run/agent.sock
else
	private=
	PATH=/usr/sbin:/usr/bin:/sbin:/bin
	[ "$(id -u)" = 0 ] || fail "this needs root" "run it as root, or keep everything below one folder: LICENSE_AGENT_DIR=/some/folder $(again "$stage")"
	etc=/etc/$service run=/run/$service-bundle agent=/usr/local/bin/$service log=/var/log/$service-bundle
	socket=/run/$service/agent.sock
fi
export LICENSE_AGENT_INSTANCE="$instance" LICENSE_AGENT_SOCKET="$socket"

# own: what another vendor has installed is not for this package to start, to stop
# or to remove, as is tried where install was refused.
own() {
	for other in "$etc"/anchors/*.json; do
		[ ! -f "$other" ] || [ "$other" = "$etc/anchors/$issuer.json" ] ||
			fail "the instance $instance belongs to another vendor (${other##*/})" "ask the vendor for a bundle with another --instance; nothing was changed"
	done
}

# put FILE PLACE MODE: the place has the old content or the new, never half of it.
put() {
	cp -- "$1" "$2.part"
	chmod "$3" "$2.part"
	mv -f -- "$2.part" "$2"
}

# Processes are known by number and start time: a number alone is given again.
# One that has ended and that nobody has waited for is dead too (proc(5)).
born() {
	# shellcheck disable=SC2046 # into words on purpose
	set -- $(sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null)
	case ${1:-Z} in
	[ZX]) ;;
	*) echo "${20}" ;;
	esac
}
alive() { # NAME
	pid='' since=''
	read -r pid since 2>/dev/null <"$run/$1.pid" || return 1
	[ -n "$since" ] && [ "$(born "$pid")" = "$since" ]
}
# become NAME COMMAND: the process writes down its own number before it becomes
# the command. Whoever started it may be dead by then, and started again: the
# second waits until the first has written, and leaves.
become() {
	what=$1
	shift
	exec 8>"$run/$what.lock"
	flock 8
	if alive "$what"; then exit 0; fi
	printf '%s\n' "$here" >"$run/$what.from"
	printf '%s %s\n' "$$" "$(born $$)" >"$run/$what.pid.part"
	mv -f -- "$run/$what.pid.part" "$run/$what.pid"
	exec "$@" 8>&-
}
launch() { # NAME
	alive "$1" && return 0
	setsid /bin/sh "$here/scripts/lifecycle.sh" ".$1" </dev/null >>"$log/$1.log" 2>&1 9>&- &
	waited=0
	until alive "$1"; do
		waited=$((waited + 1))
		[ $waited -le 50 ] || fail "$1 does not start" "see above, if anything is there, or read $log/$1.log"
		sleep 0.1
	done
}
# left: what still runs of NAME, whose first process may have ended before the
# others; its number may be somebody else's by now.
left() {
	leads=$(born "$pid")
	[ -z "$leads" ] || [ "$leads" = "$since" ] || return 0
	grep -lE "^[0-9]+ \(.*\) [^ZX] [0-9]+ $pid " /proc/[0-9]*/stat 2>/dev/null || :
}
# orphans: it has ended and left others behind. They are known by what they
# were told: a number in a file may be older than the machine's last start.
orphans() {
	[ -n "${since:-}" ] || return 1
	for stat in $(left); do
		if tr '\0' '\n' <"${stat%stat}environ" 2>/dev/null | grep -qxF "LICENSE_AGENT_SOCKET=$socket"; then return 0; fi
	done
	return 1
}
# finish: one that is just becoming NAME has written its number or has not begun
# to; without the lock its number would be removed and it would run unknown.
finish() { # NAME
	exec 8>"$run/$1.lock"
	flock 8
	if alive "$1" || orphans; then
		kill -s TERM -- "-$pid" 2>/dev/null || true
		waited=0
		while [ -n "$(left)" ]; do
			waited=$((waited + 1))
			[ $waited -ne 150 ] || kill -s KILL -- "-$pid" 2>/dev/null || true
			[ $waited -le 200 ] || fail "$1 (process $pid) does not end" "end it by hand: kill -9 -- -$pid"
			sleep 0.1
		done
	fi
	rm -f -- "$run/$1.pid" "$run/$1.pid.part" "$run/$1.from"
	exec 8>&-
}

# Whoever can open a lock can hold it: the folder of the locks is nobody else's.
folders() {
	mkdir -p -- "$run" "$log"
	chmod 700 "$run"
}
# One stage at a time. The lock is the process's: it goes when the process does.
alone() {
	folders
	exec 9>"$run/lock"
	flock -n 9 || fail "another stage of $name is running" "wait for it and run this again"
}
# hook: the vendor's own commands for a stage, signed with everything else. What
# they leave running must not hold the lock.
hook() {
	[ -f "$here/bin/hooks/$1.sh" ] || return 0
	trap - HUP INT TERM # one that hangs would keep the shell from ending
	/bin/sh "$here/bin/hooks/$1.sh" 9>&- ||
		fail "$here/bin/hooks/$1.sh has failed ($?)" "mend what it says above and run this again: $(again "$stage")"
	heed
}
installed() { [ -f "$etc/bundle" ]; }
must_be_installed() { installed || fail "$name is not installed" "run: $(again install)"; }
answers() { # exit code 4: nobody answers on the socket
	code=0
	[ -x "$agent" ] || return 1
	"$agent" status >/dev/null 2>&1 || code=$?
	[ $code -ne 4 ]
}

# runs: a program that a power cut has emptied ends without an error, because the
# shell takes it for a script; only what says its version is one.
runs() { [ -n "$("$1" version 2>/dev/null)" ]; }

# ended: no copies of the agent stay behind, and a disk that is full or cannot be
# written to, of which the tools speak in their own words, has a next step, too.
ended() {
	code=$?
	[ -z "$scratch" ] || rm -rf -- "$scratch"
	[ $code -eq 0 ] || [ -n "$told" ] ||
		printf '%s: %s was not finished\n  next: mend what it says above, if anything, and run this again: %s\n' "$software" "$stage" "$(again "$stage")" >&2
}
heed() { # a shell that a signal ends at once would not call ended
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# workplace: a folder of ours from which copies of the agent are run. Many a
# machine has noexec on /tmp, so that is tried with a script of nothing before
# anything is changed. The last place is the one that the agent will run from;
# nothing is put into the bundle, which then would not be as it was signed.
workplace() {
	place=${agent%/*}
	[ -z "$private" ] || place=$LICENSE_AGENT_DIR
	for place in "${TMPDIR:-/tmp}" /var/tmp "$place"; do
		scratch=$(mktemp -d "$place/.$service.XXXXXX" 2>/dev/null) || continue
		printf '#!/bin/sh\n' >"$scratch/try"
		chmod 700 "$scratch/try"
		if "$scratch/try" 2>/dev/null; then return; fi
		rm -rf -- "$scratch"
	done
	scratch=
	fail "no program may run below ${TMPDIR:-/tmp}, /var/tmp and $place; nothing was changed" "name a folder that programs may run from: TMPDIR=/some/folder $(again "$stage")"
}

# The agent inside checks the bundle before anything is changed. Once installed,
# the installed one does, by the trust anchor that it has: a bundle that is whole
# but of somebody else is refused then.
check() {
	[ "$(printf %s "$socket" | wc -c)" -le 107 ] || # unix(7)
		fail "LICENSE_AGENT_DIR is too long: no socket may be called $socket; nothing was changed" "give a folder with a shorter name"
	[ -n "$private" ] || [ ${#service} -le 31 ] || grep -q "^$service:" /etc/passwd || # utmp(5)
		fail "no user of this system can be called $service; nothing was changed" "ask the vendor for a package with a shorter --instance, or keep everything below one folder: LICENSE_AGENT_DIR=/some/folder $(again "$stage")"
	[ ! -d "$log" ] || [ -w "$log" ] || # the product would be ended, and its log not be opened
		fail "$log cannot be written to; nothing was changed" "make it writable (mount -o remount,rw) and run this again: $(again "$stage")"
	workplace
	tool=$agent
	if [ -x "$tool" ]; then
		runs "$tool" || fail "the installed agent $agent is damaged, it does not run; nothing was changed" "remove that file and run this again: the agent in this package then checks the package and takes its place"
	else
		cp -- "$here/bin/license-agent" "$scratch/license-agent" # an unpacker may have dropped the mode
		chmod 700 "$scratch/license-agent"
		tool=$scratch/license-agent
		runs "$tool" || fail "the agent in this package does not run on this machine ($(uname -sm)); nothing was changed" "get the package for this system"
	fi
	set -- verify-bundle "$here"
	[ ! -f "$etc/anchors/$issuer.json" ] || set -- "$@" --anchor "$etc/anchors/$issuer.json"
	"$tool" "$@" >"$scratch/said" || { code=$?; told=yes; say "nothing was changed. Where a file was added, lost or renamed: unpack the package anew, into an empty folder (unzip: with LC_ALL=C.UTF-8)"; exit $code; }
	# A key that this version does not know, or licenses of a newer one, would stop the
	# agent at its next start.
	if [ -d "$etc" ]; then
		cp -- "$here/bin/license-agent" "$scratch/new"
		chmod 700 "$scratch/new"
		"$scratch/new" run --check-config --instance "$instance" ${private:+--dir "$LICENSE_AGENT_DIR"} >"$scratch/said" ||
			fail "the agent in this package cannot go on with the configuration and the licenses that are here: see above; nothing was changed" "do what it says above and run this again"
	fi
}

# executable: some unpackers drop the modes.
executable() {
	while IFS= read -r file; do
		[ -x "$here/$file" ] || chmod 755 "$here/$file" 2>/dev/null || :
		[ -x "$here/$file" ] || fail "$here/$file cannot be executed; nothing was changed" "unpack the package where files can be written and executed (mount options ro, noexec), and run this again"
	done <"$here/scripts/programs"
}

# The service managers do not get the lock: one that starts the agent by itself
# would hand it on to it, and every later stage would wait for the agent's end.
restart_service() {
	if [ -d /run/systemd/system ]; then
		systemctl restart "$service.service"
	elif command -v rc-service >/dev/null; then
		rc-service "$service" restart 9>&-
	else
		"/etc/init.d/$service" restart 9>&-
	fi
}

# bring: agent, trust anchor and mark are those of this bundle.
bring() {
	fresh=yes changed=
	anchor=$etc/anchors/$issuer.json
	[ ! -f "$anchor" ] || fresh=
	cmp -s "$here/license/anchor.json" "$anchor" || : >"$run/anchor-changed"
	[ ! -e "$run/anchor-changed" ] || changed=yes # also of a run before this one that was cut off
	if [ -n "$private" ]; then
		mkdir -p -- "$etc/anchors" "$base/bin"
		if ! cmp -s "$here/bin/license-agent" "$agent" || [ ! -x "$agent" ]; then
			finish agent
			put "$here/bin/license-agent" "$agent" 755
		elif [ -n "$changed" ]; then
			finish agent
		fi
		put "$here/license/anchor.json" "$anchor" 644
	else
		cp -- "$here/bin/license-agent" "$scratch/install"
		chmod 700 "$scratch/install"
		LICENSE_AGENT_SOCKET='' "$scratch/install" install --instance "$instance" --anchor "$here/license/anchor.json" ||
			fail "the agent could not be installed" "mend what it says above and run this again"
		if [ -n "$changed" ] && [ -z "$fresh" ]; then restart_service; fi # it reads the anchor when it starts
	fi
	rm -f -- "$run/anchor-changed"
	printf '%s\n%s\n' "$version" "$here" >"$scratch/mark"
	cmp -s "$scratch/mark" "$etc/bundle" || put "$scratch/mark" "$etc/bundle" 644
}

up() { sed 's/\..*//' /proc/uptime; } # seconds, whatever somebody does to the clock
start_agent() {
	if [ -n "$private" ]; then
		launch agent
	elif [ -d /run/systemd/system ]; then
		systemctl start "$service.socket" "$service.service"
	elif command -v rc-service >/dev/null; then
		rc-service --ifstopped "$service" start 9>&-
	else
		"/etc/init.d/$service" start >/dev/null 9>&-
	fi
	why="journalctl -u $service"
	[ -d /run/systemd/system ] || why="read /var/log/$service.log"
	[ -z "$private" ] || why="read $log/agent.log"
	began=$(up)
	until answers; do # one that hangs lets each question wait
		[ $(($(up) - began)) -le 30 ] || fail "the license agent does not answer on $socket" "see why: $why"
		sleep 0.1
	done
}
# replaced: the product that runs is the one before this package was installed over it.
replaced() {
	[ "$(sed 1d "$etc/bundle")" = "$here" ] && [ -f "$run/app.from" ] && [ "$(cat "$run/app.from")" != "$here" ]
}
start() {
	start_agent
	if replaced; then finish app; fi
	hook start
	launch app
}
stop() {
	finish app
	hook stop
	[ -z "$private" ] || finish agent
}

case $stage in
.*) ;; # one of ours, of a stage that was allowed
*)
	scratch='' told=''
	trap ended EXIT
	heed
	own
	;;
esac
case $stage in
.agent) become agent "$agent" run --dir "$LICENSE_AGENT_DIR" --instance "$instance" ;;
.app)
	cd -- "$here/bin"
	start_command become app
	;;
install)
	check
	executable
	alone
	bring
	hook install
	say "installed; start it by: $(again start)"
	;;
update)
	must_be_installed
	check
	executable
	alone
	# Whether it ran is remembered on disk, for a run that is cut off in between.
	if alive app; then : >"$run/start-again"; fi
	finish app
	bring
	hook update
	if [ -e "$run/start-again" ]; then
		start
		rm -f -- "$run/start-again"
	fi
	say "updated to ${version:-this version}"
	;;
start)
	must_be_installed
	alone
	start
	;;
poststart)
	must_be_installed
	alive app || fail "$name has ended" "read $log/app.log"
	answers || fail "the license agent does not answer on $socket" "run: $(again restart)"
	hook poststart
	if "$agent" status >/dev/null 2>&1; then
		say "runs and is licensed"
	else
		say "runs; it has no valid license yet. Type the authorization code: LICENSE_AGENT_SOCKET=$(word "$socket") $(word "$agent") activate"
	fi
	;;
restart)
	must_be_installed
	alone
	stop
	# This is what follows a failed health check: an agent that hangs is one.
	[ -n "$private" ] || answers || restart_service
	start
	;;
prestop) hook prestop ;;
stop)
	installed || [ -d "$run" ] || exit 0
	alone
	rm -f -- "$run/start-again" # of an update that failed: whoever stops it now means it
	stop
	;;
uninstall)
	purge=
	case ${1:-} in
	'') ;;
	--purge) purge=--purge ;;
	*) fail "unknown option $1" "use --purge, or nothing" ;;
	esac
	[ -n "$private" ] || workplace
	alone
	finish app
	if installed; then hook uninstall; fi
	rm -f -- "$etc/bundle"
	if [ -n "$private" ]; then
		finish agent
		rm -rf -- "${base:?}/bin" "$run" "$log" "$base/run"
		[ -z "$purge" ] || rm -rf -- "$base"
		rmdir -- "$base" 2>/dev/null || : # nothing was ever installed
	else
		tool=$agent
		runs "$tool" || tool=$here/bin/license-agent # it removes itself: a run before this one was cut off
		cp -- "$tool" "$scratch/uninstall"
		chmod 700 "$scratch/uninstall"
		# shellcheck disable=SC2086 # nothing, or one word
		LICENSE_AGENT_SOCKET='' "$scratch/uninstall" uninstall --instance "$instance" $purge
		rm -rf -- "$run" "$log"
	fi
	if [ -n "$purge" ]; then say "removed"; else say "removed; licenses stay in case it comes back, --purge forgets them"; fi
	;;
*) fail "unknown stage ${stage:-(none)}" "one of install, poststart, start, restart, prestop, stop, update, uninstall" ;;
esac
