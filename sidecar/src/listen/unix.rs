//! The Unix socket.
//!
//! It is made beside its path and moved into place, so that whoever sees it sees
//! it with its final mode, and a file left behind by a process that died is
//! replaced in one step. One that a living process answers on is left alone. On
//! the way out it is removed if it is still ours.
//!
//! Clients on gRPC's C core (Python, Ruby, PHP, C++) send the escaped path of the
//! socket as `:authority`, which the HTTP/2 implementation here refuses with
//! `RST_STREAM`. They need the channel option `grpc.default_authority=localhost`.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

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
    let making = {
        let mut name = OsString::from(path);
        name.push(".new");
        PathBuf::from(name)
    };
    drop(fs::remove_file(&making));
    let listener = UnixListener::bind(&making)?;
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
    };
    Ok((listener, file))
}

/// Whether somebody listens. Refused is how the kernel says that nobody does; any
/// other failure (no permission, a full backlog) is taken for life.
fn answers(path: &Path) -> bool {
    match UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        ),
    }
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

        std::mem::forget(file); // as a process that is killed
        drop(listener);
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
        let (listener, file) = bind(&path).unwrap();
        drop(listener);
        let (_theirs, _file) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
