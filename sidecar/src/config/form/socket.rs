//! The path of a Unix socket.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::address::is_off;
use super::{Form, Wrong};
use crate::config::Socket;

/// What the kernel keeps of a socket's path, 108 bytes with a zero at its end, less
/// the `.new` under which the socket is made before it is moved into place.
const MAX_LEN: usize = 107 - ".new".len();

/// The path of a Unix socket, or `off`.
pub(crate) struct SocketPath;

impl Form for SocketPath {
    type Value = Option<Socket>;

    fn read(&self, text: &str) -> Result<Option<Socket>, Wrong> {
        if is_off(text) {
            return Ok(None);
        }
        let text = text.strip_prefix("unix:").unwrap_or(text);
        if text.is_empty() || text.contains('\0') {
            return Err(Wrong::Form);
        }
        if text.ends_with('/') {
            return Err(Wrong::Because("which is a folder"));
        }
        if text.len() > MAX_LEN {
            return Err(Wrong::Because(
                "which is longer than a socket's path may be",
            ));
        }
        Ok(Some(Socket {
            path: PathBuf::from(text),
            optional: false,
        }))
    }

    fn expected(&self) -> String {
        format!("a path of at most {MAX_LEN} bytes such as /run/millpond/millpond.sock, or off")
    }

    fn show(&self, socket: &Option<Socket>) -> String {
        socket.as_ref().map_or_else(
            || "off".to_owned(),
            |socket| socket.path.display().to_string(),
        )
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "string", "minLength": 1, "maxLength": MAX_LEN + "unix:".len() },
            { "const": false },
        ] })
    }
}
