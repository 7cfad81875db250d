//! [`Shape`]: measures the depth and the size of a JSON text before it is parsed.

/// The maximum nesting depth of a whole document. `serde_json` has its own limit of 127, which we
/// disable once this one has been checked.
pub(super) const MAX_DEPTH: usize = 128;

/// The text need not be valid JSON.
pub(super) fn is_within_depth(text: &str) -> bool {
    Shape::of(text).depth <= MAX_DEPTH
}

/// The depth and the number of values of a JSON text. This only counts brackets and commas, because
/// no parser should recurse before the limits are checked.
pub(super) struct Shape {
    pub(super) depth: usize,
    pub(super) values: usize,
}

impl Shape {
    pub(super) fn of(text: &str) -> Self {
        let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
        let (mut quoted, mut escaped) = (false, false);
        for byte in text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                    values += 1;
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => values += 1,
                _ => {}
            }
        }
        Self {
            depth: deepest,
            values,
        }
    }
}
