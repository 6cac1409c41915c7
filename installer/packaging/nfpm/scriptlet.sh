#!/bin/sh
# What the packages run, for deb, rpm and apk. The three tools call the same
# moments by other names and arguments; the last line, which the build fills in,
# says whose script this is: main KIND STAGE "$@".
#
# No step activates anything or uses the network, and no key is made here: in an
# image it would make all copies one device.
set -e
name=license-agent
schema=@SCHEMA@ # the newest state that this version of the program can read
root=${LICENSE_AGENT_ROOT:-} # tests only
mark=$root/var/lib/$name.fresh # deb: installed, and not configured yet; outlives a reboot
PATH=/usr/sbin:/usr/bin:/sbin:/bin

say() { echo "license-agent: $*"; }
has() { command -v "$1" >/dev/null 2>&1; }
# A systemd that runs, not one that only lies on the disk of an image.
booted() { [ -d "$root/run/systemd/system" ]; }

# An instance of the template belongs to this package if its user was made for
# it; private instances of other vendors have a user, units and a program of
# their own. systemd makes a user for names, too, that the agent then refuses. An
# image may have no users yet.
instances() { sed -n "s/^\($name-[A-Za-z0-9_-]*\):[^:]*:[^:]*:[^:]*:License agent [A-Za-z0-9_-]* (package):.*/\1/p" "$root/etc/passwd" 2>/dev/null || true; }

# Builders of images forbid starts, and so may an administrator: a process, and
# its device key, would else become part of the image (invoke-rc.d(8), Debian).
allowed() { # ACTION
	code=0
	[ ! -x "$root/usr/sbin/policy-rc.d" ] || "$root/usr/sbin/policy-rc.d" $name "$1" >/dev/null 2>&1 || code=$?
	[ $code = 101 ] || return 0
	say "/usr/sbin/policy-rc.d forbids the $1; what runs or does not run stays so"
	return 1
}

# A state written by a newer program is not touched by an older one, so the older
# one would not start: refuse before anything is changed.
refuse_downgrade() {
	for each in $name $(instances); do
		state=$root/var/lib/$each
		[ -f "$state/state.db" ] || continue
		newest=$(LC_ALL=C grep -a -o "$name-store [0-9][0-9]* " "$state/state.db" 2>/dev/null | cut -d' ' -f2 | sort -n | tail -n 1)
		[ -n "$newest" ] || continue
		if [ "$newest" -gt "$schema" ]; then
			say "this version is too old for the licenses in $state: they were written in format $newest and it reads up to $schema." >&2
			say "Install the newer version again, or move $state away to start without licenses." >&2
			exit 1
		fi
	done
}

# Units and scripts of "license-agent install" win over those of a package: the old
# program would go on for ever, a purge would take its licenses and leave it there,
# and "license-agent uninstall" refuses beside a package. So before there is one.
refuse_second_owner() {
	[ -e "$root/usr/local/bin/$name" ] || return 0
	for of in "$root/etc/systemd/system/$name.service" "$root/etc/init.d/$name"; do
		grep -qs "/usr/local/bin/$name" "$of" || continue
		say "the agent was installed here without a package ($of) and would go on instead of this one." >&2
		say "Remove it before this package is installed; licenses and configuration stay: /usr/local/bin/$name uninstall" >&2
		exit 1
	done
}

create_user() {
	if has systemd-sysusers; then
		systemd-sysusers $name.conf
	elif has useradd; then
		getent group license-admin >/dev/null || groupadd --system license-admin
		getent passwd $name >/dev/null || useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin $name
	else # busybox
		grep -q '^license-admin:' "$root/etc/group" || addgroup -S license-admin
		grep -q "^$name:" "$root/etc/group" || addgroup -S $name
		grep -q "^$name:" "$root/etc/passwd" || adduser -S -D -H -h / -s /sbin/nologin -g 'License agent' -G $name $name
	fi
}

# The unit names the profile and goes without where AppArmor does not run.
confine() {
	if [ -d "$root/sys/kernel/security/apparmor" ] && has apparmor_parser; then
		apparmor_parser --replace "$root/etc/apparmor.d/$name" || say "the AppArmor profile was not loaded"
	fi
}

fresh() {
	create_user
	confine
	if has systemctl; then
		booted && systemctl daemon-reload
		systemctl enable $name.socket $name.service || say "not enabled; do it by: systemctl enable --now $name.socket $name.service"
		if booted && allowed start; then
			systemctl start $name.socket $name.service || say "did not start; see: journalctl -u $name"
		fi
	elif has update-rc.d; then # Debian without systemd, also one with OpenRC
		# Not shipped in /etc/init.d: systemd would make a unit of it when the
		# package is removed and its own unit is gone.
		install -m 0755 "$root/usr/share/$name/$name.sysv" "$root/etc/init.d/$name"
		update-rc.d $name defaults || true
		! allowed start || "$root/etc/init.d/$name" start || say "did not start; see: /var/log/$name.log"
	elif has rc-update; then
		rc-update add $name default || true
		say "it starts at the next boot, and now by: rc-service $name start"
	fi
}

# A configuration that this program cannot read would end the agent that runs with
# it: that one stays, and goes on answering. $1 is an instance, or nothing. Of what
# the caller has set the service gets nothing, and the check only the language.
startable() {
	if why=$(env -i PATH="$PATH" LANG="${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" "$root/usr/bin/$name" run --check-config ${1:+--instance "$1"} 2>&1); then return 0; fi
	say "this version does not start with the configuration in /etc/$name${1:+-$1}, so what runs stays as it is:" >&2
	echo "$why" >&2
	say "correct it, then restart $name${1:+@$1}." >&2
	return 1
}

# The old program finishes its answers (SIGTERM) and the new one takes over the
# socket, which stays open: callers wait and are not refused. What the operator
# has stopped stays stopped.
upgraded() {
	create_user
	confine
	if ! has systemctl && has update-rc.d; then install -m 0755 "$root/usr/share/$name/$name.sysv" "$root/etc/init.d/$name"; fi
	if booted; then systemctl daemon-reload; fi
	allowed restart || return 0
	if booted; then
		units=
		if startable; then units=$name.service; fi
		for unit in $(systemctl list-units --plain --no-legend --full "$name@*.service" | cut -d ' ' -f 1); do
			instance=${unit#*@}
			if startable "${instance%.service}"; then units="$units $unit"; fi
		done
		# shellcheck disable=SC2086 # one argument each
		[ -z "$units" ] || systemctl try-restart $units || say "did not start; see: journalctl -u $name"
	elif has update-rc.d; then
		if "$root/etc/init.d/$name" status >/dev/null 2>&1 && startable; then "$root/etc/init.d/$name" restart || true; fi
	elif has rc-service; then
		if startable; then rc-service --ifstarted $name restart || true; fi
	fi
}

stop() {
	if booted; then
		systemctl stop $name.socket $name.service "$name@*.socket" "$name@*.service" "$name-user@*.service" || true
	elif has update-rc.d && [ -x "$root/etc/init.d/$name" ]; then
		"$root/etc/init.d/$name" stop || true
	elif has rc-service; then
		rc-service --ifstarted $name stop || true
	fi
	if has systemctl; then
		for link in "$root"/etc/systemd/system/*.wants/"$name"@*; do
			[ -L "$link" ] && rm -f "$link" # instances of the template
		done
		systemctl disable $name.socket $name.service || true
	elif has rc-update && ! has update-rc.d; then
		rc-update del $name default || true
	fi
}

removed() {
	if [ -d "$root/sys/kernel/security/apparmor" ] && has apparmor_parser; then
		echo "profile $name {}" | apparmor_parser --remove 2>/dev/null || true
	fi
	rm -f "$root"/var/cache/apparmor/*/$name # what the boot keeps of the profile
	if booted; then
		systemctl daemon-reload || true
		systemctl reset-failed $name.service $name.socket "$name@*" "$name-user@*" 2>/dev/null || true
	fi
	for each in $name $(instances); do rm -rf "$root/run/$each"; done
	rm -f "$root/run/$name.dmi" "$root/run/$name.pid" "$mark"
	if ! has systemctl && has update-rc.d; then
		rm -f "$root/etc/init.d/$name"
		update-rc.d $name remove || true
	fi
}

# rpm puts a configuration that was changed aside, and the next installation would
# begin with the default one.
put_back() {
	saved=$root/etc/$name/agent.toml.rpmsave
	[ ! -f "$saved" ] || [ -e "${saved%.rpmsave}" ] || mv "$saved" "${saved%.rpmsave}"
}

# A folder on which something is mounted is emptied and stays: no reason to fail.
forget() { # PATH...
	for path in "$@"; do
		rm -rf "$path" || {
			[ -z "$(ls -A "$path")" ] || return 1
			say "$path is empty and stays"
		}
	done
}

purge() {
	# What the administrator has added, too: seal.conf would ask a service that is
	# installed again for a credential that goes here.
	units=$root/etc/systemd/system confined=$root/etc/apparmor.d
	rm -rf "$units/$name.service.d" "$units/$name.socket.d" "$units/$name"@*.d "$units/$name-user"@*.d
	rm -rf "$confined/local/$name" "$confined/disable/$name" "$confined/force-complain/$name"
	rm -f "$root/etc/sysusers.d/$name.conf" # also of "license-agent uninstall": it would make the user again
	for each in $name $(instances); do
		forget "$root/var/lib/$each" "$root/etc/${each:?}" "$root/run/$each"
		rm -f "$root/var/log/$each.log"
		[ -z "$root" ] || continue
		if has userdel; then
			! getent passwd "$each" >/dev/null || userdel "$each" || true
			! getent group "$each" >/dev/null || groupdel "$each" || true
		fi
	done
	# Somebody else's instance may still use the group of administrators.
	if [ -z "$root" ] && has groupdel && ! grep -q "^$name" /etc/passwd; then
		! getent group license-admin >/dev/null || groupdel license-admin || true
	fi
}

kept() {
	places=
	for each in $name $(instances); do places="$places /var/lib/$each /etc/$each"; done
	[ ! -d "$root/etc/systemd/system/$name.service.d" ] || places="$places /etc/systemd/system/$name.service.d"
	say "licenses and configuration stay; remove them by hand to forget them: rm -r$places"
}

main() {
	kind=$1 stage=$2
	shift 2
	case $kind-$stage-${1:-} in
	deb-preinstall-install)
		refuse_second_owner
		refuse_downgrade
		# After a removal without purge dpkg configures as if it were an upgrade.
		: >"$mark"
		;;
	rpm-preinstall-1 | apk-preinstall-*)
		refuse_second_owner
		refuse_downgrade
		;;
	deb-preinstall-upgrade | rpm-preinstall-* | apk-preupgrade-*) refuse_downgrade ;;
	deb-postinstall-configure)
		if [ -z "${2:-}" ] || [ -e "$mark" ]; then fresh; else upgraded; fi
		rm -f "$mark"
		;;
	# Before a removal it was stopped and disabled; before an upgrade nothing was
	# done, so that nothing is to be taken back: what is stopped stays stopped.
	deb-postinstall-abort-remove) fresh ;;
	deb-preremove-remove) stop ;;
	deb-postremove-remove) removed ;;
	deb-postremove-abort-install) rm -f "$mark" ;;
	deb-postremove-purge) purge ;;
	rpm-postinstall-1) fresh ;;
	rpm-postinstall-*) upgraded ;;
	rpm-preremove-0) stop ;;
	rpm-postremove-0) removed; put_back; kept ;;
	apk-postinstall-*) fresh ;;
	apk-postupgrade-*)
		# apk goes on although the script before the upgrade has refused it; what
		# runs can read the state and must not give way to what cannot.
		refuse_downgrade
		upgraded
		;;
	apk-preremove-*) stop ;;
	apk-postremove-*) removed; kept ;;
	esac
}
