//! Parses the headers in which proxies forward the client's certificate.
//!
//! Each function returns the certificate in DER, or `None` if the header is absent, repeated or
//! malformed.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;

/// Reads `Client-Cert`: a byte sequence of RFC 8941, base64 between colons (RFC 9440 §2.2).
pub(super) fn client_cert(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = single(headers, "client-cert")?;
    let base64 = text.strip_prefix(':')?.strip_suffix(':')?;
    der(base64)
}

/// Reads Envoy's `X-Forwarded-Client-Cert`, a comma-separated list with an element from each proxy
/// that received a certificate. We want the last one, which is from the proxy directly in front of
/// this service. Its `Cert` is percent-encoded PEM.
///
/// Note that Envoy can be configured to append its element to the header that the client sent. The
/// client then controls the earlier elements, so [`Pair`] has to be strict.
pub(super) fn x_forwarded_client_cert(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut rest = single(headers, "x-forwarded-client-cert")?;
    let mut certificates = Vec::new();
    loop {
        let (pair, end) = Pair::read(rest)?;
        if pair.name.eq_ignore_ascii_case("cert") {
            certificates.push(pair.value);
        }
        match end.split_at_checked(1) {
            None => break,
            Some((";", next)) => rest = next,
            // a comma begins the next element
            Some((_, next)) => {
                certificates.clear();
                rest = next;
            }
        }
    }
    match &*certificates {
        // percent-encoded PEM has no character that needs a backslash
        [certificate] if !certificate.contains('\\') => pem(&percent_decoded(certificate)?),
        _ => None,
    }
}

/// Reads `X-SSL-Client-Cert`: percent-encoded PEM, e.g. nginx's `$ssl_client_escaped_cert`.
pub(super) fn x_ssl_client_cert(headers: &HeaderMap) -> Option<Vec<u8>> {
    pem(&percent_decoded(single(headers, "x-ssl-client-cert")?)?)
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => field.to_str().ok().map(str::trim),
        _ => None,
    }
}

/// A name and its value in `X-Forwarded-Client-Cert`
struct Pair<'t> {
    name: &'t str,
    /// The value, without the quotes around it. Backslashes are not decoded.
    value: &'t str,
}

impl<'t> Pair<'t> {
    /// Reads the pair at the beginning of a text. Also returns the rest of the text, which is empty
    /// or begins with `;` or `,`.
    ///
    /// A value is quoted only if a quote follows the `=` directly, and only `;`, `,` or the end may
    /// follow the closing quote. If we were any laxer, an unclosed quote in one element would end
    /// at the first quote of the next one, and we'd parse both as one element.
    fn read(text: &'t str) -> Option<(Self, &'t str)> {
        let (name, rest) = text.trim_start_matches(' ').split_once('=')?;
        let (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            let end = closing_quote(quoted)?;
            (&quoted[..end], &quoted[end + 1..])
        } else {
            let (value, rest) = rest.split_at(rest.find([';', ',']).unwrap_or(rest.len()));
            (Some(value).filter(|value| !value.contains('"'))?, rest)
        };
        let is_strict = !name.contains(['"', ';', ',']);
        let is_ended = rest.is_empty() || rest.starts_with([';', ',']);
        (is_strict && is_ended).then_some((Self { name, value }, rest))
    }
}

/// The position of the first quote that isn't escaped with a backslash.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|c| {
        let is_end = c == b'"' && !is_escaped;
        is_escaped = c == b'\\' && !is_escaped;
        is_end
    })
}

/// Decodes URL-encoding. A `+` stays a `+`, since it's a digit of base64. `None` if an escape is
/// malformed or not ASCII.
pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut decoded = String::with_capacity(text.len());
    let mut parts = text.split('%');
    decoded.push_str(parts.next()?);
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // `from_str_radix` would accept a sign
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        decoded.push(byte.is_ascii().then_some(char::from(byte))?);
        decoded.push_str(rest);
    }
    Some(decoded.into())
}

/// Decodes PEM that contains one certificate (RFC 7468).
fn pem(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix("-----BEGIN CERTIFICATE-----")?;
    let inner = inner.strip_suffix("-----END CERTIFICATE-----")?;
    der(&inner.split_ascii_whitespace().collect::<String>())
}

/// `None` if the result is empty.
fn der(base64: &str) -> Option<Vec<u8>> {
    let der = STANDARD.decode(base64).ok()?;
    (!der.is_empty()).then_some(der)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DER: &[u8] = b"\x30\x03any\xff\xfe\xfd";

    fn read(
        reader: fn(&HeaderMap) -> Option<Vec<u8>>,
        name: &'static str,
        values: &[&str],
    ) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        reader(&headers)
    }

    fn escaped_pem() -> String {
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(DER)
        );
        let escape = |c: char| match c {
            ' ' | '\n' | '/' | '+' | '=' | ';' | ',' => format!("%{:02X}", c as u32),
            c => c.to_string(),
        };
        pem.chars().map(escape).collect()
    }

    #[test]
    fn reads_client_cert() {
        let good = format!(":{}:", STANDARD.encode(DER));
        let bare = STANDARD.encode(DER);
        for (case, values, is_read) in [
            ("good", vec![&*good], true),
            ("spaces around it", vec![&*format!(" {good} ")], true),
            ("absent", vec![], false),
            ("empty", vec![""], false),
            ("empty bytes", vec!["::"], false),
            ("twice", vec![&good, &good], false),
            ("a list", vec![&*format!("{good}, {good}")], false),
            ("without colons", vec![&*bare], false),
            ("one colon", vec![&*format!(":{bare}")], false),
            ("not padded", vec![&*good.replace('=', "")], false),
            ("url alphabet", vec![&*good.replace('/', "_")], false),
            ("with a parameter", vec![&*format!("{good};a=1")], false),
            ("PEM", vec![&*escaped_pem()], false),
        ] {
            let found = read(client_cert, "client-cert", &values);
            assert_eq!(found.as_deref(), is_read.then_some(DER), "{case}");
        }
    }

    #[test]
    fn reads_x_ssl_client_cert() {
        let good = escaped_pem();
        for (case, values, is_read) in [
            ("good", vec![&*good], true),
            (
                "lower case digits",
                vec![&*good.replace("%2F", "%2f").replace("%0A", "%0a")],
                true,
            ),
            ("a plain plus", vec![&*good.replace("%2B", "+")], true),
            ("spaces not escaped", vec![&*good.replace("%20", " ")], true),
            ("absent", vec![], false),
            ("empty", vec![""], false),
            ("twice", vec![&good, &good], false),
            ("two certificates", vec![&*format!("{good}{good}")], false),
            (
                "a key",
                vec![&*good.replace("CERTIFICATE", "PRIVATE%20KEY")],
                false,
            ),
            (
                "no end",
                vec![good.split("-----END").next().unwrap()],
                false,
            ),
            ("half an escape", vec![&*format!("{good}%2")], false),
            ("a signed escape", vec![&*good.replace("%20", "%+2")], false),
            ("outside ASCII", vec![&*format!("{good}%ff")], false),
            ("no PEM", vec!["MAAA"], false),
        ] {
            let found = read(x_ssl_client_cert, "x-ssl-client-cert", &values);
            assert_eq!(found.as_deref(), is_read.then_some(DER), "{case}");
        }
    }

    #[test]
    fn reads_the_last_element_of_x_forwarded_client_cert() {
        let cert = format!("Cert=\"{}\"", escaped_pem());
        let other = "By=spiffe://a;Hash=00;Cert=\"MAAA\"";
        for (case, values, is_read) in [
            ("alone", vec![cert.clone()], true),
            ("not quoted", vec![cert.replace('"', "")], true),
            (
                "among others",
                vec![format!("By=x;Hash=1;{cert};Subject=\"CN=a, b;c\";URI=")],
                true,
            ),
            (
                "a quote in a quote",
                vec![format!("Subject=\"CN=\\\"a,b\";{cert}")],
                true,
            ),
            ("the last", vec![format!("{other},{cert}")], true),
            (
                "the last, with a space",
                vec![format!("{other}, {cert}")],
                true,
            ),
            ("not the last", vec![format!("{cert},{other}")], false),
            (
                "the last has none",
                vec![format!("{cert},By=x;Hash=1")],
                false,
            ),
            ("nothing after a comma", vec![format!("{cert},")], false),
            ("twice in an element", vec![format!("{cert};{cert}")], false),
            ("two fields", vec![cert.clone(), cert.clone()], false),
            (
                "inside another value",
                vec![format!("Subject=\"{}\"", cert.replace('"', "'"))],
                false,
            ),
            (
                "a quote that is open",
                vec![format!("Subject=\"CN=a,{}", cert.replace('"', ""))],
                false,
            ),
            ("text after the quote", vec![format!("{cert}x")], false),
            ("no pairs", vec!["Cert".to_owned()], false),
            ("absent", vec![], false),
            ("the chain only", vec![cert.replace("Cert", "Chain")], false),
            // with Envoy's `APPEND_FORWARD`, the client writes the beginning of the field
            (
                "a quote that the client opened and its own subject closes",
                vec![format!("{cert};X=\",Hash=1;Subject=\"CN=\\\"a\"")],
                false,
            ),
            (
                "a quote that the client opened and an empty subject closes",
                vec![format!("{cert};X=\",Hash=1;Subject=\"\"")],
                false,
            ),
            (
                "a quote that the client opened and a certificate closes",
                vec![format!("{cert};X=\",Hash=1;Cert=\"MAAA\"")],
                false,
            ),
            ("a quote in a name", vec![format!("A\"=\";{cert}")], false),
            (
                "a quote in a value",
                vec![format!("A=a\";B=\";{cert}")],
                false,
            ),
            (
                "a quote after the second =",
                vec![format!("A=a=\";\";{cert}")],
                false,
            ),
            (
                "text after a quote",
                vec![format!("A=\";\"a;{cert}")],
                false,
            ),
            (
                "a space after a quote",
                vec![format!("A=\";\" ;{cert}")],
                false,
            ),
            (
                "two quoted texts",
                vec![format!("A=\"\"\";\";{cert}")],
                false,
            ),
            ("a name alone before it", vec![format!("A;{cert}")], false),
        ] {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let found = read(x_forwarded_client_cert, "x-forwarded-client-cert", &values);
            assert_eq!(found.as_deref(), is_read.then_some(DER), "{case}");
        }
    }
}
