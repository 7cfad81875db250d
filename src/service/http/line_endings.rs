//! Where a head of HTTP/1.1 begins and ends, and that each of its lines ends in CRLF.
//!
//! A parser may take a lone LF for the end of a line (RFC 9112 §2.2), and hyper's does. A proxy in
//! front that does not sees one field where we would see two, and the second may be a
//! `Transfer-Encoding`. So a lone LF in a head is handed on as NUL, which hyper refuses with its own
//! 400. Nothing else is looked at: what a head means, the length of its body above all, hyper says.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use memchr::memchr;

/// Bytes that are read at once where a head may end among them. What follows the head is held until hyper
/// has read the head, so a connection holds no more than this.
const READ: u64 = 8 * 1024;

/// Follows the bytes of a connection from head to head.
#[derive(Debug)]
pub(in crate::service) struct Heads {
    place: Place,
    framing: Framing,
}

/// How long the body is that follows the head handed on last.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Framing(Arc<AtomicU64>);

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a head, in a line that has so many bytes and this last one.
    Head { begun: bool, line: usize, last: u8 },
    /// After a head, before anybody has said what follows.
    Between,
    /// In a body that has so many bytes left.
    Body(u64),
    /// In HTTP/2, in chunks, or in something that hyper refuses. No head is looked for any more.
    Beyond,
}

impl Framing {
    /// The head is understood: its body has so many bytes, or none can tell, and then the answer must
    /// be the last of its connection.
    pub(in crate::service) fn set(&self, length: Option<u64>) {
        let or_none = length.and_then(|length| length.checked_add(1));
        self.0.store(or_none.unwrap_or(0), Ordering::Release);
    }

    fn take(&self) -> Option<u64> {
        self.0.swap(0, Ordering::Acquire).checked_sub(1)
    }
}

impl Heads {
    pub(in crate::service) fn new(framing: Framing) -> Self {
        Self {
            place: Place::FIRST_LINE,
            framing,
        }
    }

    /// Returns how many bytes may be read at once.
    pub(in crate::service) fn most(&self) -> u64 {
        match self.place {
            Place::Head { .. } | Place::Between => READ,
            Place::Body(left) => left.max(READ),
            Place::Beyond => u64::MAX,
        }
    }

    /// How many of these bytes, one at least, may be handed on before asking again for the rest.
    pub(in crate::service) fn admit(&mut self, bytes: &mut [u8]) -> usize {
        if let Place::Between = self.place {
            self.place = self.framing.take().map_or(Place::Beyond, Place::body);
        }
        match self.place {
            Place::Head { begun, line, last } => self.head(bytes, begun, line, last),
            Place::Body(left) => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.place = Place::body(left - taken as u64);
                taken
            }
            Place::Between | Place::Beyond => bytes.len(),
        }
    }

    fn head(&mut self, bytes: &mut [u8], mut begun: bool, mut line: usize, mut last: u8) -> usize {
        let mut from = 0;
        while let Some(length) = memchr(b'\n', &bytes[from..]) {
            let at = from + length;
            let before = if length == 0 { last } else { bytes[at - 1] };
            line += length;
            last = b'\n';
            from = at + 1;
            if before != b'\r' {
                bytes[at] = 0;
                self.place = Place::Beyond;
                return from;
            }
            // An empty line ends the head, unless there is none yet: some send one after a body.
            if line == 1 && begun {
                self.place = Place::Between;
                return from;
            }
            (begun, line) = (begun || line > 1, 0);
        }
        let rest = &bytes[from..];
        line += rest.len();
        last = rest.last().copied().unwrap_or(last);
        self.place = Place::Head { begun, line, last };
        bytes.len()
    }
}

impl Place {
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

    /// What comes out, whatever the sizes of the reads; each head is said to have a body of 3 bytes.
    fn through(bytes: &str, read: usize) -> String {
        let framing = Framing::default();
        let (mut heads, mut out) = (Heads::new(framing.clone()), Vec::new());
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
    fn a_lone_lf_reaches_no_parser_in_a_head_and_every_parser_in_a_body() {
        for (case, bytes, lone) in [
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
        ] {
            for read in 1..=bytes.len() {
                let out = through(bytes, read);
                assert_eq!(
                    out.contains("<NUL>"),
                    lone,
                    "{case}, {read} at a time: {out}"
                );
                assert!(lone || out == bytes, "{case}, {read} at a time: {out}");
            }
        }
    }
}
