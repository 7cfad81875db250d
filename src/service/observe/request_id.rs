//! The request ID and the trace ID of a request, to correlate the logs of several services.
//!
//! A caller's request ID ends up in our log, so we should only use it if it's short and has plain
//! characters. Otherwise we make one up.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

pub(in crate::service) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Vendor-specific trace data (W3C Trace Context §3.3)
#[cfg(feature = "otel")]
pub(in crate::service) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The caller's request ID if there is exactly one and it matches `[A-Za-z0-9._-]{1,64}`, otherwise
/// a random one.
pub(in crate::service) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = only(headers, &X_REQUEST_ID).filter(|id| is_plain(id.as_bytes()));
    given.cloned().unwrap_or_else(random)
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=64).contains(&id.len()) && id.iter().all(plain)
}

/// 32 unique hexadecimal digits, which do not have to be secret. The seed comes from the standard
/// library's hash maps, and a bijective mixer turns a counter into the ID.
fn random() -> HeaderValue {
    static SEED: LazyLock<(u64, u64)> = LazyLock::new(|| {
        let random = RandomState::new();
        (random.hash_one(0), random.hash_one(1))
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let (high, low) = *SEED;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let halves = [mix(high.wrapping_add(count)), mix(low ^ count)].map(u64::to_be_bytes);
    let mut digits = [0; 32];
    for (pair, byte) in digits
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip(halves.as_flattened())
    {
        *pair = DIGITS[usize::from(*byte)];
    }
    // hexadecimal digits are always valid in a header
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("-"))
}

static DIGITS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Steele and Vigna's `SplitMix64`, which is a bijection.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The trace that a request belongs to (W3C Trace Context).
#[derive(Debug)]
pub(in crate::service) struct TraceContext(HeaderValue);

impl TraceContext {
    /// An invalid `traceparent` is ignored (W3C Trace Context §3.2.2.3).
    pub(in crate::service) fn of(headers: &HeaderMap) -> Option<Self> {
        let parent = only(headers, &TRACEPARENT)?;
        is_traceparent(parent.as_bytes()).then(|| Self(parent.clone()))
    }

    #[cfg(feature = "otel")]
    pub(in crate::service) fn field(&self) -> &HeaderValue {
        &self.0
    }

    /// 32 hexadecimal digits
    pub(in crate::service) fn id(&self) -> &str {
        let text = self.0.to_str().ok();
        text.and_then(|text| text.get(3..35)).unwrap_or_default()
    }

    /// Whether the caller has sampled the trace (W3C Trace Context §3.2.2.5.1).
    pub(in crate::service) fn is_sampled(&self) -> bool {
        let flags = self.0.to_str().ok().and_then(|text| text.get(53..55));
        flags.is_some_and(|flags| u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1))
    }
}

/// Checks for `version "-" trace-id "-" parent-id "-" flags` in lower case. Versions above 00 may
/// have a dash and more data at the end. The version ff is invalid.
fn is_traceparent(value: &[u8]) -> bool {
    let Some((known, rest)) = value.split_at_checked(55) else {
        return false;
    };
    let [version, trace, parent, flags] =
        [&known[..2], &known[3..35], &known[36..52], &known[53..]];
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|digit| *digit != b'0');

    let whole = if version == b"00" {
        rest.is_empty()
    } else {
        version != b"ff" && (rest.is_empty() || rest[0] == b'-')
    };
    whole
        && [2, 35, 52].iter().all(|dash| known[*dash] == b'-')
        && [version, trace, parent, flags].into_iter().all(hex)
        && some(trace)
        && some(parent)
}

/// The value of a header that is present exactly once. If a header is repeated, we cannot know
/// which value is meant, so we ignore it.
pub(in crate::service) fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn adopts_only_plain_request_ids() {
        let long = "x".repeat(64);
        #[rustfmt::skip]
        let rows = [
            ("a UUID", &["0198fe2a-6c1e-7b4e-9d4e-0a9d3d3f9a51"][..], true),
            ("every allowed character", &["aZ09._-"], true),
            ("one character", &["x"], true),
            ("the maximum length", &[long.as_str()], true),
            ("none", &[], false),
            ("empty", &[""], false),
            ("too long", &[&format!("{long}x")], false),
            ("a space", &["a b"], false),
            ("a quote", &["a\"b"], false),
            ("a slash", &["a/b"], false),
            ("a tab", &["a\tb"], false),
            ("not ASCII", &["é"], false),
            ("two", &["a", "b"], false),
            ("the same twice", &["a", "a"], false),
        ];
        for (case, values, taken) in rows {
            let id = request_id(&headers(&X_REQUEST_ID, values));
            assert!(is_plain(id.as_bytes()), "{case}: {id:?}");
            assert_eq!(
                values.first().is_some_and(|given| id == given),
                taken,
                "{case}"
            );
        }
    }

    #[test]
    fn generated_request_ids_are_unique() {
        let made: HashSet<_> = (0..10_000).map(|_| random()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn accepts_only_valid_traceparents() {
        const ID: &str = "0af7651916cd43dd8448eb211c80319c";
        #[rustfmt::skip]
        let rows = [
            ("version 00", &["00-ID-b7ad6b7169203331-01"][..], true),
            ("not sampled", &["00-ID-b7ad6b7169203331-00"], true),
            ("unknown flags", &["00-ID-b7ad6b7169203331-ff"], true),
            ("a later version", &["01-ID-b7ad6b7169203331-01"], true),
            ("a later version with more parts", &["cc-ID-b7ad6b7169203331-01-what-else"], true),
            ("a later version, no dash", &["cc-ID-b7ad6b7169203331-01.what"], false),
            ("version 00 with more parts", &["00-ID-b7ad6b7169203331-01-x"], false),
            ("version ff", &["ff-ID-b7ad6b7169203331-01"], false),
            ("no version", &["ID-b7ad6b7169203331-01"], false),
            ("capitals", &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"], false),
            ("no trace", &["00-00000000000000000000000000000000-b7ad6b7169203331-01"], false),
            ("no parent", &["00-ID-0000000000000000-01"], false),
            ("no digits", &["00-ID-g7ad6b7169203331-01"], false),
            ("too short", &["00-ID-b7ad6b7169203331-1"], false),
            ("other dashes", &["00_ID_b7ad6b7169203331_01"], false),
            ("empty", &[""], false),
            ("none", &[], false),
            ("two", &["00-ID-b7ad6b7169203331-01", "00-ID-b7ad6b7169203331-01"], false),
        ];
        for (case, values, valid) in rows {
            let values: Vec<_> = values.iter().map(|value| value.replace("ID", ID)).collect();
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let trace = TraceContext::of(&headers(&TRACEPARENT, &values));
            assert_eq!(
                trace.as_ref().map(TraceContext::id),
                valid.then_some(ID),
                "{case}"
            );
        }
    }
}
