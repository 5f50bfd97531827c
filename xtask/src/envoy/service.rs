//! The service behind the proxy: says `ok` to everything, and counts.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::failure::Failure;

pub(super) struct Service {
    port: u16,
    served: Arc<AtomicUsize>,
}

impl Service {
    /// Serves until this process ends.
    pub(super) fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let served = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&served);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                // One that goes away ends its thread.
                thread::spawn(move || drop(serve(&stream, &counted)));
            }
        });
        Ok(Self { port, served })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Requests answered so far.
    pub(super) fn served(&self) -> usize {
        // Relaxed: a count; each answer comes after it by way of the proxy.
        self.served.load(Ordering::Relaxed)
    }
}

/// Requests without bodies, one after the other.
fn serve(stream: &TcpStream, served: &AtomicUsize) -> std::io::Result<()> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            // Relaxed: a count.
            served.fetch_add(1, Ordering::Relaxed);
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
    Ok(())
}
