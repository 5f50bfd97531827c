//! Callers on gRPC's C core (Python, Ruby, PHP, C++) over a Unix socket.
//!
//! They send the socket's path, percent-encoded, as `:authority`. A percent sign
//! cannot stand there, and the h2 crate refuses such a call with `RST_STREAM
//! PROTOCOL_ERROR`; no setting of it accepts one. Nothing here looks at the
//! authority, so on its way in each `%` of it becomes a `-`.
//!
//! That keeps HPACK whole: these clients write the header as a literal without
//! Huffman coding, so the change is byte for byte; no length of a frame, a string or a
//! table entry moves, and the table that h2 builds holds what it was given.
//!
//! ```text
//!  preface ──► head of a frame ◄──► HEADERS, CONTINUATION: walked byte by byte
//!                             ▲       │ after the first block without such an
//!              any other: skipped     ▼ authority
//!                                    off, for good
//! ```
//!
//! What is malformed is passed on as it is, for h2 to refuse. Invariant: as many bytes
//! leave as come, and none but a `%` in the value of `:authority` differs.
//!
//! Cost: nothing after the first call of other clients; of these, a look at each byte
//! of their headers. Huffman-coded values and names from the dynamic table are not
//! looked into: nobody writes them so.

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const NAME: &[u8] = b":authority";
/// Where `:authority` stands in HPACK's static table (RFC 7541, appendix A).
const NAME_INDEX: u8 = 1;

/// Types and flags of frames (RFC 9113, section 6).
mod frame {
    pub(super) const HEADERS: u8 = 1;
    pub(super) const CONTINUATION: u8 = 9;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
    pub(super) const PRIORITY_BYTES: usize = 5;
}

/// Rewrites what a client sends, whatever pieces it comes in.
#[derive(Debug)]
pub(crate) struct Rewriter {
    at: At,
    field: Block,
    /// Whether any authority was rewritten yet.
    needed: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Off,
    /// So many bytes before what comes next.
    Skip(usize, Then),
    Head {
        bytes: [u8; HEAD_BYTES],
        filled: usize,
    },
    /// At the byte that says how much padding ends the frame.
    Padding(Fragment),
    /// In a header block.
    Block(Fragment),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Head,
    Block(Fragment),
}

/// A frame's part of a header block, and what stands around it.
#[derive(Clone, Copy, Debug)]
struct Fragment {
    priority: usize,
    left: usize,
    padding: usize,
    /// The block ends with it.
    last: bool,
}

impl Rewriter {
    /// For a connection that has just begun.
    pub(crate) fn new() -> Self {
        Self {
            at: At::Skip(PREFACE_BYTES, Then::Head),
            field: Block::default(),
            needed: false,
        }
    }

    /// Passes everything on as it is.
    pub(crate) fn off() -> Self {
        Self {
            at: At::Off,
            ..Self::new()
        }
    }

    /// Passes over what was read.
    pub(crate) fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let used = match self.at {
                At::Off => return,
                At::Skip(left, then) => {
                    let used = bytes.len().min(left);
                    self.skip(left - used, then);
                    used
                }
                At::Head {
                    bytes: mut head,
                    filled,
                } => {
                    let used = bytes.len().min(HEAD_BYTES - filled);
                    head[filled..][..used].copy_from_slice(&bytes[..used]);
                    let filled = filled + used;
                    self.at = At::Head {
                        bytes: head,
                        filled,
                    };
                    if filled == HEAD_BYTES {
                        self.enter(head);
                    }
                    used
                }
                At::Padding(fragment) => {
                    let padding = usize::from(bytes[0]);
                    let fragment = Fragment {
                        left: fragment.left.saturating_sub(1 + padding),
                        padding,
                        ..fragment
                    };
                    self.skip(fragment.priority, Then::Block(fragment));
                    1
                }
                At::Block(fragment) => {
                    let used = bytes.len().min(fragment.left);
                    for byte in &mut bytes[..used] {
                        self.needed |= self.field.pass(byte);
                    }
                    self.block(Fragment {
                        left: fragment.left - used,
                        ..fragment
                    });
                    used
                }
            };
            bytes = &mut bytes[used..];
        }
    }

    fn skip(&mut self, left: usize, then: Then) {
        match then {
            _ if left > 0 => self.at = At::Skip(left, then),
            Then::Block(fragment) => self.block(fragment),
            Then::Head => {
                self.at = At::Head {
                    bytes: [0; HEAD_BYTES],
                    filled: 0,
                }
            }
        }
    }

    fn block(&mut self, fragment: Fragment) {
        if fragment.left > 0 {
            self.at = At::Block(fragment);
            return;
        }
        self.skip(fragment.padding, Then::Head);
        if fragment.last {
            self.field = Block::default();
            if !self.needed {
                self.at = At::Off;
            }
        }
    }

    fn enter(&mut self, [high, middle, low, kind, flags, ..]: [u8; HEAD_BYTES]) {
        let bytes = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let flagged = |flag| kind == frame::HEADERS && flags & flag != 0;
        let priority = match flagged(frame::PRIORITY) {
            true => frame::PRIORITY_BYTES,
            false => 0,
        };
        let fragment = Fragment {
            priority,
            left: bytes.saturating_sub(priority),
            padding: 0,
            last: flags & frame::END_HEADERS != 0,
        };
        match kind {
            frame::HEADERS | frame::CONTINUATION if bytes == 0 => self.block(fragment),
            frame::HEADERS if flagged(frame::PADDED) => self.at = At::Padding(fragment),
            frame::HEADERS | frame::CONTINUATION => self.skip(priority, Then::Block(fragment)),
            _ => self.skip(bytes, Then::Head),
        }
    }
}

/// Where in a header block we are (RFC 7541, section 6).
#[derive(Debug, Default)]
enum Block {
    /// At the first byte of a field.
    #[default]
    Field,
    /// In the further bytes of an index; a value follows or the next field.
    Index { value_follows: bool },
    /// At the length of a string.
    Length(Part),
    /// In the further bytes of it.
    MoreLength {
        part: Part,
        length: usize,
        shift: u32,
    },
    /// In a string.
    String { part: Part, left: usize },
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// How much of it is the name looked for; `None` once it is another.
    Name(Option<usize>),
    Value {
        authority: bool,
    },
}

impl Block {
    /// Takes the next byte of the block. Whether it was changed.
    fn pass(&mut self, byte: &mut u8) -> bool {
        let mut changed = false;
        *self = match std::mem::take(self) {
            Self::Field => field(*byte),
            Self::Index { value_follows } if *byte & 0x80 != 0 => Self::Index { value_follows },
            Self::Index {
                value_follows: true,
            } => Self::Length(Part::Value { authority: false }),
            Self::Index { .. } => Self::Field,
            Self::Length(part) => {
                let part = if *byte & 0x80 == 0 {
                    part
                } else {
                    part.coded()
                };
                match usize::from(*byte & 0x7f) {
                    0x7f => Self::MoreLength {
                        part,
                        length: 0x7f,
                        shift: 0,
                    },
                    length => string(part, length),
                }
            }
            Self::MoreLength {
                part,
                length,
                shift,
            } => {
                let more = usize::from(*byte & 0x7f).checked_shl(shift).unwrap_or(0);
                let length = length.saturating_add(more);
                if *byte & 0x80 == 0 {
                    string(part, length)
                } else {
                    Self::MoreLength {
                        part,
                        length,
                        shift: shift.saturating_add(7),
                    }
                }
            }
            Self::String { part, left } => {
                let part = match part {
                    Part::Name(Some(matched)) => {
                        Part::Name((NAME.get(matched) == Some(byte)).then_some(matched + 1))
                    }
                    Part::Value { authority: true } if *byte == b'%' => {
                        *byte = b'-';
                        changed = true;
                        part
                    }
                    other => other,
                };
                string(part, left - 1)
            }
        };
        changed
    }
}

impl Part {
    /// Huffman-coded.
    fn coded(self) -> Self {
        match self {
            Self::Name(_) => Self::Name(None),
            Self::Value { .. } => Self::Value { authority: false },
        }
    }
}

fn field(byte: u8) -> Block {
    let (mask, value_follows) = match byte {
        0x80.. => (0x7f, false),
        0x40.. => (0x3f, true),
        0x20.. => (0x1f, false),
        _ => (0x0f, true),
    };
    match byte & mask {
        index if index == mask => Block::Index { value_follows },
        _ if !value_follows => Block::Field,
        0 => Block::Length(Part::Name(Some(0))),
        index => Block::Length(Part::Value {
            authority: index == NAME_INDEX,
        }),
    }
}

/// A string of which so much is left.
fn string(part: Part, left: usize) -> Block {
    if left > 0 {
        return Block::String { part, left };
    }
    match part {
        Part::Name(matched) => Block::Length(Part::Value {
            authority: matched == Some(NAME.len()),
        }),
        Part::Value { .. } => Block::Field,
    }
}

#[cfg(test)]
mod tests;
