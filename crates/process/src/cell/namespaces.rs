//! Entering new namespaces.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{getegid, geteuid};

use super::during;

/// Moves this process into new namespaces of the network and of mounts; its children into a new one of processes.
///
/// Root needs no namespace of users, and in one it could not read what belongs to others, such as a server's socket.
pub(super) fn enter() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    if user.is_root() {
        match unshare(own) {
            Ok(()) => return private(),
            // Root of a container, which may be no more than anybody else.
            Err(nix::errno::Errno::EPERM) => {}
            Err(error) => return Err(during("entering new namespaces", error)),
        }
    }
    unshare(own | CloneFlags::CLONE_NEWUSER).map_err(|error| during("entering new namespaces", error))?;
    let write = |path: &str, text: String| fs::write(path, text).map_err(|error| during(path, error));
    // Without this the group's map is refused (Linux manual, user_namespaces(7)).
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
    write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))?;
    private()
}

/// What is mounted from here on stays here.
fn private() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| during("keeping mounts to ourselves", error))
}
