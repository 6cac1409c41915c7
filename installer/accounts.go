package installer

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"licenseagent.example/installer/packaging"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
)

// user makes the account of the instance, and the administrators' group.
func (m manager) user(t Target) []Step {
	made := false
	step := Step{
		Text: "create user " + m.owner,
		Done: func(context.Context) (bool, error) { return t.account("/etc/passwd", m.owner) },
		Do: func(ctx context.Context) error {
			t.point("user")
			made = true
			err := m.createUser(ctx, t)
			t.point("user made")
			return err
		},
		Undo: func(ctx context.Context) error {
			if !made {
				return nil
			}
			return m.deleteUser(ctx, t)
		},
	}
	if m.sysusers == "" {
		return []Step{m.adminGroup(t), step}
	}
	text, err := packaging.Text(packaging.Sysusers, packaging.Names{Service: m.owner})
	declare := t.file(m.sysusers, []byte(text), securefile.PublicFile, false)
	if err != nil {
		declare.Do = func(context.Context) error { return err }
	}
	return []Step{declare, step}
}

func (m manager) createUser(ctx context.Context, t Target) error {
	if m.sysusers != "" {
		argv := []string{"systemd-sysusers", t.at(m.sysusers)}
		if m.image {
			// A path would be looked for outside the image, a name inside it.
			argv = []string{"systemd-sysusers", "--root=" + t.Root, path.Base(m.sysusers)}
		}
		_, err := m.run(ctx, argv...)
		return err
	}
	err := m.shadow(ctx, t, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin", m.owner)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A run that was cut off may have left the group.
	if there, err := t.account("/etc/group", m.owner); err != nil {
		return err
	} else if !there {
		if err := m.busybox(ctx, t, "addgroup", "-S", m.owner); err != nil {
			return err
		}
	}
	return m.busybox(ctx, t, "adduser", "-S", "-D", "-H", "-h", "/", "-s", "/sbin/nologin", "-g", "License agent", "-G", m.owner, m.owner)
}

// adminGroup makes the group of the default configuration where no declaration
// has it.
func (m manager) adminGroup(t Target) Step {
	made := false
	return Step{
		Text: "create group " + admins,
		Done: func(context.Context) (bool, error) { return t.account("/etc/group", admins) },
		Do: func(ctx context.Context) error {
			t.point("group")
			made = true
			return m.tool(ctx, t, []string{"groupadd", "--system", admins}, []string{"addgroup", "-S", admins})
		},
		Undo: func(ctx context.Context) error {
			there, err := t.account("/etc/group", admins)
			if err != nil || !made || !there {
				return err
			}
			return m.tool(ctx, t, []string{"groupdel", admins}, []string{"delgroup", admins})
		},
	}
}

// tool runs a tool of shadow, or what busybox has for it on a system without.
func (m manager) tool(ctx context.Context, t Target, shadow, busybox []string) error {
	err := m.shadow(ctx, t, shadow...)
	if errors.Is(err, fs.ErrNotExist) {
		return m.busybox(ctx, t, busybox...)
	}
	return err
}

// shadow works on an image by an option.
func (m manager) shadow(ctx context.Context, t Target, argv ...string) error {
	if t.Root != "" {
		argv = append([]string{argv[0], "--prefix", t.Root}, argv[1:]...)
	}
	_, err := m.run(ctx, argv...)
	return err
}

// busybox works on the files of its own root only. It knows no long options, and
// deluser takes the group of the same name along.
func (m manager) busybox(ctx context.Context, t Target, argv ...string) error {
	if t.Root != "" {
		argv = append([]string{"chroot", t.Root}, argv...)
	}
	_, err := m.run(ctx, argv...)
	return err
}

// noUser removes the account, and the administrators' group when the last
// instance goes.
func (m manager) noUser(t Target) []Step {
	// unneeded says whether the group is there and no configuration that stays.
	unneeded := func(changed []string) (bool, error) {
		group, err := t.account("/etc/group", admins)
		if err != nil || !group {
			return false, err
		}
		configs, err := filepath.Glob(t.at("/etc/" + paths.Program + "*"))
		stays := slices.ContainsFunc(configs, func(c string) bool { return !slices.Contains(changed, path.Join("/etc", path.Base(c))) })
		return !stays, err
	}
	return []Step{{
		Text: "remove user " + m.owner,
		Done: func(context.Context) (bool, error) {
			user, err := t.account("/etc/passwd", m.owner)
			group, errGroup := t.account("/etc/group", m.owner)
			return !user && !group, errors.Join(err, errGroup)
		},
		Do: func(ctx context.Context) error { t.point("no user"); return m.deleteUser(ctx, t) },
	}, {
		Text: "remove group " + admins + " unless another instance needs it",
		Done: func(context.Context) (bool, error) {
			needed, err := unneeded(nil)
			return !needed, err
		},
		After: unneeded,
		Do: func(ctx context.Context) error {
			return m.tool(ctx, t, []string{"groupdel", admins}, []string{"delgroup", admins})
		},
	}}
}

// admins is the group of the default configuration.
const admins = "license-admin"

// deleteUser removes user and group; userdel(8) removes the group with it where
// login.defs(5) says so.
func (m manager) deleteUser(ctx context.Context, t Target) error {
	for _, a := range []struct{ file, shadow, busybox string }{{"/etc/passwd", "userdel", "deluser"}, {"/etc/group", "groupdel", "delgroup"}} {
		there, err := t.account(a.file, m.owner)
		if err != nil {
			return err
		}
		if there {
			if err := m.tool(ctx, t, []string{a.shadow, m.owner}, []string{a.busybox, m.owner}); err != nil {
				return err
			}
		}
	}
	return nil
}
