//! The Unix socket.
//!
//! It is made beside its path and moved into place, so that whoever sees it sees
//! it with its final mode, and a file left behind by a process that died is
//! replaced in one step. One that a living process answers on is left alone. On
//! the way out it is removed if it is still ours.
//!
//! A lock on a file beside it (`….lock`) is held from before the first look to after
//! the removal, so of two that start at once one serves and the other is told that
//! the socket is in use. The kernel lets the lock go with the process.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::accept::BACKLOG;

/// Owner and group: who may connect is who shares the group.
const MODE: u32 = 0o660;

/// Why there is no socket.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A living process answers on it.
    InUse,
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The socket's file; gone when this is.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// Let go after the file is gone.
    _lock: Lock,
}

impl SocketFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have replaced it meanwhile.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The right to make and to remove one socket.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes it, unless another process or sidecar has it.
    fn take(path: PathBuf) -> Result<Self, Refused> {
        /// More often than this nobody comes in between by chance.
        const TRIES: usize = 16;
        for _ in 0..TRIES {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Refused::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Whoever had it before may have removed the file between our opening
            // and locking it; then the lock is on nothing.
            let ours = file.metadata().map(|file| (file.dev(), file.ino()))?;
            if identity(&path).is_ok_and(|found| found == ours) {
                return Ok(Self { path, _file: file });
            }
        }
        Err(Refused::InUse)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held, so that nobody else's is removed.
        drop(fs::remove_file(&self.path));
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), Refused> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    let lock = Lock::take(beside(path, ".lock"))?;
    match fs::symlink_metadata(path) {
        Err(_) => {}
        Ok(file) if !std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()) => {
            return Err(Refused::Failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is not a socket",
            )));
        }
        Ok(_) if answers(path) => return Err(Refused::InUse),
        Ok(_) => {}
    }
    // One name for all: under the lock nobody else makes one, and what is there was
    // left by one that died.
    let making = beside(path, ".new");
    drop(fs::remove_file(&making));
    let listener = UnixListener::bind(&making)?;
    rustix::net::listen(&listener, BACKLOG).map_err(io::Error::from)?;
    let placed = fs::set_permissions(&making, Permissions::from_mode(MODE))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&making, path));
    if let Err(error) = placed {
        drop(fs::remove_file(&making));
        return Err(error.into());
    }
    let file = SocketFile {
        identity: identity(path)?,
        path: path.to_owned(),
        _lock: lock,
    };
    Ok((listener, file))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether somebody listens. Refused is how the kernel says that nobody does; any
/// other failure (no permission, a full backlog) is taken for life. It does not
/// wait: on a full backlog a connection that blocks would do so until somebody
/// accepts.
fn answers(path: &Path) -> bool {
    let connected = SocketAddrUnix::new(path).and_then(|address| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &address)
    });
    !matches!(connected, Err(Errno::CONNREFUSED | Errno::NOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("millpond-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        folder
    }

    #[test]
    fn a_socket_left_by_the_dead_is_replaced_and_one_of_the_living_is_not() {
        let folder = folder("socket");
        let path = folder.join("sub/pond.sock");
        let (listener, file) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(matches!(bind(&path), Err(Refused::InUse)));

        drop((listener, file));
        // As a process that is killed leaves them.
        drop(UnixListener::bind(&path).unwrap());
        drop(UnixListener::bind(beside(&path, ".new")).unwrap());
        drop(File::create(beside(&path, ".lock")).unwrap());
        assert!(path.exists());
        let (_listener, file) = bind(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_not_replaced() {
        let folder = folder("file");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(bind(&path), Err(Refused::Failed(_))));
        assert_eq!(fs::read(&path).unwrap(), b"data");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_socket_that_another_process_replaced_is_left_to_it() {
        let folder = folder("replaced");
        let path = folder.join("pond.sock");
        let (_listener, file) = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_process_too_busy_to_accept_is_alive_and_not_waited_for() {
        let folder = folder("busy");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("pond.sock");
        // It listens as one of before the lock, and accepts nobody.
        let _busy = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            let address = SocketAddrUnix::new(&path).unwrap();
            let flags = SocketFlags::NONBLOCK;
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
            let socket = socket.unwrap();
            match rustix::net::connect(&socket, &address) {
                Ok(()) => waiting.push(socket),
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN);
                    break;
                }
            }
        }
        assert!(matches!(bind(&path), Err(Refused::InUse)));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn of_many_that_start_at_once_one_serves() {
        const AT_ONCE: usize = 8;
        let folder = folder("race");
        let path = folder.join("pond.sock");
        for _ in 0..50 {
            let start = std::sync::Barrier::new(AT_ONCE);
            let bound: Vec<_> = std::thread::scope(|scope| {
                let starting: Vec<_> = (0..AT_ONCE)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            bind(&path)
                        })
                    })
                    .collect();
                starting
                    .into_iter()
                    .map(|bound| bound.join().unwrap())
                    .collect()
            });
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
            let others = bound.iter().filter_map(|bound| bound.as_ref().err());
            assert!(others.into_iter().all(|why| matches!(why, Refused::InUse)));
            assert!(answers(&path));
            drop(bound);
            assert!(!path.exists());
        }
        // Neither the lock nor what was being made is left.
        fs::remove_dir(folder).unwrap();
    }
}
