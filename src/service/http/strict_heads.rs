//! Rejects HTTP/1.1 heads that hyper and other programs read differently.
//!
//! A parser may accept a lone LF as the end of a line (RFC 9112 §2.2), and hyper does. If a proxy
//! in front of the service doesn't, it sees a single header where hyper sees two, and the second
//! could be `Transfer-Encoding` (request smuggling). So we replace a lone LF in a head with NUL,
//! which hyper rejects with 400.
//!
//! The target of a request has no fragment (RFC 9112 §3.2), but hyper silently drops a `#` and
//! whatever follows. In e.g. `/auth?scope=a#&scope=b`, that would remove a part of the policy, so a
//! `#` in the first line becomes NUL as well.
//!
//! hyper checks the length of a head only while the head is incomplete, so the last read may exceed
//! the limit, or not, depending on how the bytes arrive. Here, hyper gets no more bytes of a head than
//! the limit, and answers 431 if the head doesn't end in them. (After a NUL, it rejects the head
//! anyway.)
//!
//! We don't parse heads here. hyper does, and the length of the body it finds tells us where the
//! next head begins.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use memchr::memchr;

/// The maximum number of bytes in one read while a head may end in it. The bytes after the head are
/// held back until hyper has read the head, so a connection never holds back more than this.
const READ: u64 = 8 * 1024;

#[derive(Debug)]
pub(in crate::service) struct StrictHeads {
    position: Position,
    /// The maximum length of a head
    limit: usize,
    /// The number of bytes of the current head so far
    length: usize,
    framing: Framing,
}

/// The length of the body after the last head, as reported by the server.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Framing(Arc<AtomicU64>);

#[derive(Clone, Copy, Debug)]
enum Position {
    /// In a head. `line` is the number of bytes of the current line so far, and `last` is the last
    /// of them. `begun` is true after the first non-empty line.
    Head { begun: bool, line: usize, last: u8 },
    /// After a head, until [`Framing::set`] has reported the body's length
    Between,
    /// In a body, with this number of bytes left
    Body(u64),
    /// In HTTP/2, in a chunked body, or in a head that hyper rejects. We do not check anything
    /// else.
    Beyond,
}

impl Framing {
    /// Reports that hyper has parsed a head, and the length of its body. After `None`, an unknown
    /// length, this response must be the last one on its connection.
    pub(in crate::service) fn set(&self, length: Option<u64>) {
        let or_none = length.and_then(|length| length.checked_add(1));
        self.0.store(or_none.unwrap_or(0), Ordering::Release);
    }

    fn take(&self) -> Option<u64> {
        self.0.swap(0, Ordering::Acquire).checked_sub(1)
    }
}

impl StrictHeads {
    pub(in crate::service) fn new(framing: Framing, limit: usize) -> Self {
        Self {
            position: Position::FIRST_LINE,
            limit,
            length: 0,
            framing,
        }
    }

    /// The maximum number of bytes to read at once
    pub(in crate::service) fn most(&self) -> u64 {
        match self.position {
            Position::Head { .. } | Position::Between => READ,
            Position::Body(left) => left.max(READ),
            Position::Beyond => u64::MAX,
        }
    }

    /// Checks bytes. Only as many as the returned number can be passed to hyper now (at least one);
    /// call this again with the rest.
    pub(in crate::service) fn admit(&mut self, bytes: &mut [u8]) -> usize {
        if let Position::Between = self.position {
            self.position = self.framing.take().map_or(Position::Beyond, Position::body);
        }
        match self.position {
            Position::Head { begun, line, last } => {
                let room = self.limit.saturating_sub(self.length);
                let bytes = if bytes.len() > room {
                    // At the limit, hyper has already answered, and ignores what follows
                    &mut bytes[..room.max(1)]
                } else {
                    bytes
                };
                self.head(bytes, begun, line, last)
            }
            Position::Body(left) => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.position = Position::body(left - taken as u64);
                taken
            }
            Position::Between | Position::Beyond => bytes.len(),
        }
    }

    fn head(&mut self, bytes: &mut [u8], mut begun: bool, mut line: usize, mut last: u8) -> usize {
        let mut from = 0;
        while let Some(length) = memchr(b'\n', &bytes[from..]) {
            let at = from + length;
            if !begun && replaced_fragment(&mut bytes[from..at]) {
                self.position = Position::Beyond;
                return at;
            }
            let before = if length == 0 { last } else { bytes[at - 1] };
            line += length;
            last = b'\n';
            from = at + 1;
            if before != b'\r' {
                bytes[at] = 0;
                self.position = Position::Beyond;
                return from;
            }
            // An empty line ends the head. We ignore one before the first line, as some clients
            // send one after a body.
            if line == 1 && begun {
                self.position = Position::Between;
                self.length = 0;
                return from;
            }
            (begun, line) = (begun || line > 1, 0);
        }
        let rest = &mut bytes[from..];
        if !begun && replaced_fragment(rest) {
            self.position = Position::Beyond;
            return bytes.len();
        }
        line += rest.len();
        last = rest.last().copied().unwrap_or(last);
        self.position = Position::Head { begun, line, last };
        self.length += bytes.len();
        bytes.len()
    }
}

/// Replaces a `#` with NUL. `false` if there is none.
fn replaced_fragment(line: &mut [u8]) -> bool {
    let Some(at) = memchr(b'#', line) else {
        return false;
    };
    line[at] = 0;
    true
}

impl Position {
    const FIRST_LINE: Self = Self::Head {
        begun: false,
        line: 0,
        last: 0,
    };

    fn body(left: u64) -> Self {
        if left == 0 {
            Self::FIRST_LINE
        } else {
            Self::Body(left)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that hyper receives if `read` bytes arrive at a time and each head has a body of 3
    /// bytes
    fn through(bytes: &str, read: usize) -> String {
        let framing = Framing::default();
        let (mut heads, mut out) = (StrictHeads::new(framing.clone(), 8 * 1024), Vec::new());
        for read in bytes.as_bytes().chunks(read) {
            let mut read = read.to_vec();
            while !read.is_empty() {
                let taken = heads.admit(&mut read);
                out.extend(read.drain(..taken));
                framing.set(Some(3));
            }
        }
        String::from_utf8(out).unwrap().replace('\0', "<NUL>")
    }

    #[test]
    fn replaces_lone_lf_and_fragments_in_heads_but_not_in_bodies() {
        for (case, bytes, replaced) in [
            ("a head", "GET / HTTP/1.1\r\nA: b\r\n\r\n", false),
            ("a body", "POST / HTTP/1.1\r\n\r\n{\n}", false),
            (
                "two with bodies",
                "POST / HTTP/1.1\r\n\r\na\nbGET / HTTP/1.1\r\n\r\n\n\n\n",
                false,
            ),
            (
                "an empty line before",
                "\r\n\r\nGET / HTTP/1.1\r\n\r\n\n",
                false,
            ),
            ("in the first line", "GET / HTTP/1.1\nA: b\r\n\r\n", true),
            ("in a field", "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", true),
            ("at the end", "GET / HTTP/1.1\r\nA: b\r\n\n", true),
            ("before", "\nGET / HTTP/1.1\r\n\r\n", true),
            (
                "in the second head",
                "POST / HTTP/1.1\r\n\r\na\nbGET / HTTP/1.1\n\r\n",
                true,
            ),
            ("after CR CR", "GET / HTTP/1.1\r\nA: b\r\r\n\n", true),
            (
                "a number sign in a field",
                "GET / HTTP/1.1\r\nA: #\r\n\r\n",
                false,
            ),
            (
                "a number sign in a body",
                "POST / HTTP/1.1\r\n\r\n{#}",
                false,
            ),
            ("a fragment", "GET /?a#b HTTP/1.1\r\n\r\n", true),
            (
                "a fragment after an empty line",
                "\r\nGET /# HTTP/1.1\r\n\r\n",
                true,
            ),
            (
                "a fragment in the second head",
                "POST / HTTP/1.1\r\n\r\na\nbGET /#b HTTP/1.1\r\n\r\n",
                true,
            ),
        ] {
            for read in 1..=bytes.len() {
                let out = through(bytes, read);
                assert_eq!(
                    out.contains("<NUL>"),
                    replaced,
                    "{case}, {read} at a time: {out}"
                );
                assert!(replaced || out == bytes, "{case}, {read} at a time: {out}");
            }
        }
    }

    /// hyper answers 431 once it has as many bytes as the limit, and the head has not ended.
    #[test]
    fn admits_no_more_of_a_head_than_the_limit() {
        const LIMIT: usize = 100;
        for (case, length, expected) in [
            ("at the limit", LIMIT, LIMIT),
            ("one more", LIMIT + 1, LIMIT),
            ("many more", 3 * LIMIT, LIMIT),
        ] {
            for at_once in [1, 7, LIMIT - 1, LIMIT, 4 * LIMIT] {
                let framing = Framing::default();
                let mut heads = StrictHeads::new(framing.clone(), LIMIT);
                let (start, end) = ("GET / HTTP/1.1\r\nA: ", "\r\n\r\n");
                let field = "a".repeat(length - start.len() - end.len());
                // the second head must not count the first one
                for _ in 0..2 {
                    let (mut admitted, mut rest) = (0, format!("{start}{field}{end}").into_bytes());
                    while !rest.is_empty() && admitted < LIMIT {
                        let few = rest.len().min(at_once);
                        let taken = heads.admit(&mut rest[..few]);
                        admitted += taken;
                        rest.drain(..taken);
                    }
                    assert_eq!(admitted, expected, "{case}, {at_once} at a time");
                    if length > LIMIT {
                        break;
                    }
                    framing.set(Some(0));
                }
            }
        }
    }
}
