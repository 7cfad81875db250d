//! HTTP/2 frames, built one by one.

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The connection preface of a client that gives its streams this initial window.
pub fn preface(window: u32) -> Vec<u8> {
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &self::window(window)[..],
    ]
    .concat()
}

/// The SETTINGS frame that changes the initial window of all streams.
pub fn window(bytes: u32) -> Vec<u8> {
    let setting = [&[0, INITIAL_WINDOW_SIZE][..], &bytes.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &setting)
}

/// Counts the complete frames of this kind.
pub fn count(mut heard: &[u8], kind: u8) -> usize {
    let mut count = 0;
    while let Some(head) = heard.get(..9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some(rest) = heard.get(9 + length..) else {
            return count;
        };
        count += usize::from(head[3] == kind);
        heard = rest;
    }
    count
}

/// A request without a body. Its fields are literals, and the names `:method`, `:path` and
/// `:authority` come from HPACK's static table.
pub fn request(method: &str, path: &str, stream: u32) -> Vec<u8> {
    let literal = |name: u8, value: &str| {
        [
            &[name, u8::try_from(value.len()).unwrap()],
            value.as_bytes(),
        ]
        .concat()
    };
    let http = 0x86;
    let fields = [
        literal(2, method),
        literal(4, path),
        vec![http],
        literal(1, "a"),
    ];
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields.concat())
}
