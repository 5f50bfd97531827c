//! Bytes below gRPC: garbage, HTTP/2 that was tampered with, and the probe port's
//! HTTP/1.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use millpond_sidecar::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Sends it in pieces, reads what comes for a moment, and goes away.
async fn send(address: SocketAddr, bytes: &[u8], random: &mut Rng) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return;
    };
    for piece in bytes.chunks(random.usize(1..=bytes.len().max(1))) {
        // It may have been refused already.
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
    let mut answer = [0; 4_096];
    let moment = Duration::from_millis(random.u64(..8));
    drop(timeout(moment, stream.read(&mut answer)).await);
}

pub(crate) async fn garbage(running: &Running, random: &mut Rng) {
    let address = running.tcp().expect("it listens on TCP");
    let mut bytes: Vec<u8> = (0..random.usize(..2_000)).map(|_| random.u8(..)).collect();
    if random.bool() {
        bytes.splice(..0, PREFACE.iter().copied());
    }
    send(address, &bytes, random).await;
}

pub(crate) async fn mutated_session(running: &Running, random: &mut Rng) {
    let address = running.tcp().expect("it listens on TCP");
    let mut frames = session(random);
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..frames.len());
        match random.u8(..6) {
            0 => drop(frames.remove(at)),
            1 => frames.insert(at, frames[at].clone()),
            2 => {
                let other = random.usize(..frames.len());
                frames.swap(at, other);
            }
            _ => mutate(&mut frames[at], random),
        }
        if frames.is_empty() {
            return;
        }
    }
    let bytes = [PREFACE.to_vec(), frames.concat()].concat();
    send(address, &bytes, random).await;
}

/// Changes, takes away or adds a few bytes.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Rng) {
    for _ in 0..random.usize(1..6) {
        if bytes.is_empty() {
            bytes.push(random.u8(..));
        }
        let at = random.usize(..bytes.len());
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] ^= 1 << random.u8(..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.u8(..)),
            4 => bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).expect("some"),
            _ => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece.iter().take(64));
            }
        }
    }
}

/// A session as clients have it, frame by frame.
fn session(random: &mut Rng) -> Vec<Vec<u8>> {
    let methods = [
        "Get",
        "GetMany",
        "Fill",
        "Set",
        "Invalidate",
        "Hello",
        "Nothing",
    ];
    let mut frames = vec![frame(4, 0, 0, &[0, 4, 0, 0, 255, 255]), frame(4, 1, 0, &[])];
    for call in 0..random.u8(1..8) {
        let stream = 2 * call + 1;
        let method = methods[random.usize(..methods.len())];
        let path = format!("/millpond.v1.CacheService/{method}");
        let block = [
            literal(b":method", b"POST"),
            literal(b":scheme", b"http"),
            literal(b":path", path.as_bytes()),
            literal(b":authority", b"localhost"),
            literal(b"content-type", b"application/grpc"),
            literal(b"te", b"trailers"),
            literal(b"grpc-timeout", b"50m"),
        ];
        frames.push(frame(1, 4, stream, &block.concat()));
        let message = b"\x0a\x04fuzz\x12\x04fuzz\x1a\x03key";
        let length = u8::try_from(message.len()).expect("it is short");
        let body = [&[0, 0, 0, 0, length][..], message].concat();
        frames.push(frame(0, u8::from(random.bool()), stream, &body));
        match random.u8(..6) {
            0 => frames.push(frame(3, 0, stream, &[0, 0, 0, 8])),
            1 => frames.push(frame(6, 0, 0, &[7; 8])),
            2 => frames.push(frame(8, 0, stream, &[0, 0, 1, 0])),
            3 => frames.push(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])),
            4 => frames.push(frame(7, 0, 0, &[0; 8])),
            _ => {}
        }
    }
    frames
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short");
    let [_, high, middle, low] = length.to_be_bytes();
    let head = [high, middle, low, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).expect("it is short");
    [&[0, length(name)], name, &[length(value)], value].concat()
}

pub(crate) async fn probe(running: &Running, random: &mut Rng) {
    let address = running.probe().expect("it answers probes");
    let paths = ["/livez", "/readyz", "/metrics", "/x"];
    let path = paths[random.usize(..paths.len())];
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n").into_bytes();
    if random.u8(..4) > 0 {
        mutate(&mut request, random);
    }
    send(address, &request, random).await;
}

/// Whether the probe port says so, asked as the kubelet asks.
pub(crate) fn is_live(address: SocketAddr) -> bool {
    let asked = std::net::TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 OK"))
}
