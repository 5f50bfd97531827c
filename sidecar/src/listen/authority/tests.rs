use super::*;

const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END: u8 = frame::END_HEADERS;

fn framed(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    [&head, payload].concat()
}

/// A literal as the C core writes it: with its name, for the table.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        let mut bytes = match text.len() {
            short @ ..0x7f => vec![u8::try_from(short).unwrap()],
            long => {
                let left = long - 0x7f;
                let low = u8::try_from(left & 0x7f).unwrap();
                vec![0x7f, 0x80 | low, u8::try_from(left >> 7).unwrap()]
            }
        };
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    [vec![0x40], string(name), string(value)].concat()
}

/// What grpcio 1.85 sends for a call over a Unix socket.
fn first_block(authority: &str) -> Vec<u8> {
    [
        literal(":path", "/millpond.v1.CacheService/Get%"),
        literal(":authority", authority),
        vec![0x83, 0x86],
        literal("content-type", "application/grpc"),
        literal("x-text", &"100%25 ".repeat(40)),
        literal(
            "user-agent",
            "grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)",
        ),
    ]
    .concat()
}

fn session(authority: &str) -> Vec<u8> {
    let block = first_block(authority);
    let (begin, rest) = block.split_at(60);
    let padded = [&[4][..], &[0; 5], &block, b"%%%%"].concat();
    let later = [
        &[0xc4, 0xc3, 0x83, 0x3f, 0x21][..],
        &literal(":authority", authority),
    ]
    .concat();
    [
        PREFACE.to_vec(),
        framed(4, 0, &[0; 36]),
        framed(frame::HEADERS, END, &block),
        framed(0, 1, b"\x00\x00\x00\x00\x0b:authority%"),
        framed(frame::HEADERS, 0, begin),
        framed(frame::CONTINUATION, END, rest),
        framed(
            frame::HEADERS,
            END | frame::PADDED | frame::PRIORITY,
            &padded,
        ),
        framed(frame::HEADERS, END, &later),
    ]
    .concat()
}

fn passed(mut bytes: Vec<u8>, pieces: impl Fn() -> usize) -> Vec<u8> {
    let mut rewriter = Rewriter::new();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at_mut(pieces().clamp(1, rest.len()));
        rewriter.pass(piece);
        rest = after;
    }
    bytes
}

#[test]
fn an_authority_loses_its_percent_signs_and_nothing_else_changes() {
    let expected = session("run-2Fmillpond-2Fmillpond.sock");
    let sent = session("run%2Fmillpond%2Fmillpond.sock");
    assert_eq!(passed(sent.clone(), || usize::MAX), expected);
    for piece in [1, 2, 3, 7, 9, 64] {
        assert_eq!(
            passed(sent.clone(), || piece),
            expected,
            "pieces of {piece}"
        );
    }
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..2_000 {
        let seed = random.u64(..);
        let pieces = std::cell::RefCell::new(fastrand::Rng::with_seed(seed));
        let piece = || pieces.borrow_mut().usize(1..200);
        assert_eq!(passed(sent.clone(), piece), expected, "seed {seed}");
    }
}

#[test]
fn an_indexed_name_is_known_too() {
    for literal in [0x41, 0x01, 0x11] {
        let block = [&[literal, 3][..], b"a%b"].concat();
        let sent = [PREFACE.to_vec(), framed(frame::HEADERS, END, &block)].concat();
        assert!(passed(sent, || usize::MAX).ends_with(b"a-b"));
    }
}

#[test]
fn a_client_that_needs_nothing_is_not_looked_at_again() {
    let mut rewriter = Rewriter::new();
    let mut first = [
        PREFACE.to_vec(),
        framed(frame::HEADERS, END, &first_block("localhost")),
    ]
    .concat();
    rewriter.pass(&mut first);
    assert!(matches!(rewriter.at, At::Off));
    let mut later = framed(frame::HEADERS, END, &first_block("a%b"));
    let sent = later.clone();
    rewriter.pass(&mut later);
    assert_eq!(later, sent);
}

#[test]
fn whatever_comes_only_percent_signs_change() {
    let mut random = fastrand::Rng::with_seed(2);
    let valid = session("run%2Fmillpond%2Fmillpond.sock");
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(PREFACE_BYTES..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(PREFACE_BYTES + 1)),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.u8(..)),
            }
            if bytes.len() <= PREFACE_BYTES + 1 {
                break;
            }
        }
        let whole = passed(bytes.clone(), || usize::MAX);
        let in_pieces = passed(bytes.clone(), || 5);
        assert_eq!(whole, in_pieces);
        for (before, after) in bytes.iter().zip(&whole) {
            assert!(before == after || (*before, *after) == (b'%', b'-'));
        }
    }
}
