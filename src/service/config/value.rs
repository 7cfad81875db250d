//! Parsers: each converts the text of one value to its type.
//!
//! A parser doesn't know the name of its variable. It only suggests valid values, so a suggestion
//! never repeats a mistake or (worse) a password.

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tracing_subscriber::EnvFilter;
use warp::http::HeaderName;

use crate::{
    algorithm::Algorithm,
    auth::{
        self, AudienceClaim, CertificateSource, display::ShownUrl, dpop::DpopMode, keys::der,
        policy::Policy, store::Store,
    },
    service::config::{
        fault::PEM,
        invalid::{InvalidValue, Parsed},
        types::{IntrospectionMode, Secret, StoreOutage, TokenProfile},
        variable::{Form, is_of_name},
    },
    service::observe::logging::LogFormat,
};

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;

/// Recognizes placeholders from documentation: `your.domain.auth0.com`, `YOUR_API`, `{yourDomain}`,
/// `<secret>`.
///
/// `your` only counts before a known word. A company may well be called `your-energy.com`.
pub(super) fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "domain", "tenant", "api", "audience", "issuer", "auth0", "client", "secret", "app",
        "realm",
    ];
    /// Programs write the first three for a missing value. The others are reminders to fill one in.
    const WHOLE: [&str; 9] = [
        "undefined",
        "null",
        "nil",
        "changeme",
        "change-me",
        "change_me",
        "replaceme",
        "replace-me",
        "replace_me",
    ];
    /// An empty UUID, and parts of the secrets in jwt.io's examples, which people also pad or repeat.
    const PARTS: [&str; 6] = [
        "00000000-0000-0000-0000-000000000000",
        "your-256-bit",
        "your-384-bit",
        "your-512-bit",
        "string-secret-at-least-",
        "string-secret-that-is-at-least-",
    ];
    // In capitals only: `todo` is a common name for a sample application
    if ["TODO", "TBD", "FIXME"].contains(&text) {
        return true;
    }
    let bare = text.strip_prefix("https://").unwrap_or(text);
    if bare.starts_with('<') && (bare.trim_end_matches('/').ends_with('>') || bare.contains(">.")) {
        return true;
    }
    let text = text.to_ascii_lowercase();
    let hyphened = text.replace([' ', '_'], "-");
    if PARTS.iter().any(|part| hyphened.contains(part)) {
        return true;
    }
    // Documentation has `dev-xxxxxxxx` and `us-east-1_XXXXXXXXX`
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    if WHOLE.contains(&&*text)
        || words.any(|word| word.len() > 4 && word.bytes().all(|b| b == b'x'))
    {
        return true;
    }
    text.match_indices("your").any(|(at, your)| {
        let (before, after) = (&text[..at], &text[at + your.len()..]);
        let starts_word = !before.ends_with(|c: char| c.is_alphanumeric());
        let word = after.trim_start_matches(['.', '-', '_']);
        starts_word
            && (after.starts_with('_')
                || before.ends_with('{')
                || WORDS.iter().any(|placeholder| {
                    word.strip_prefix(placeholder)
                        .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
                }))
    })
}

/// Whether a value still has the quotes that a shell or `.env` would have removed. Docker's
/// `--env-file` keeps them. No valid value begins and ends with quotes.
pub(super) fn is_quoted(text: &str) -> bool {
    ["'", "\""].into_iter().any(|quote| {
        let inner = text.strip_prefix(quote);
        inner.is_some_and(|inner| inner.ends_with(quote))
    })
}

pub(super) fn still_quoted() -> InvalidValue {
    InvalidValue::new("is still in quotes").hint("remove them")
}

/// Looks for leftovers of a file or a program in a value: a quote, a comment, brackets, a variable
/// or an invisible character. With such a value, the service would start and then reject every
/// token.
///
/// `form` says which quotes and comments a valid value may contain.
pub(super) fn mangled(text: &str, form: Form) -> Option<InvalidValue> {
    const QUOTES: [char; 10] = ['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»'];
    const PAIRS: [(char, char); 8] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('“', '”'),
        ('„', '“'),
        ('‘', '’'),
        ('«', '»'),
        ('»', '«'),
    ];
    let is_quoted = match form {
        Form::FreeText => PAIRS
            .iter()
            .any(|(open, close)| text.starts_with(*open) && text.ends_with(*close)),
        Form::Strict | Form::Path => text.starts_with(QUOTES) || text.ends_with(QUOTES),
    };
    let is_list = text.starts_with("[\"") || text.starts_with("['");
    let is_named = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(is_of_name)
    };
    let of_windows = text
        .strip_prefix('%')
        .and_then(|rest| rest.strip_suffix('%'));
    let has_variable = ["${", "$(", "{{"].iter().any(|start| text.contains(start))
        || text.strip_prefix('$').is_some_and(is_named)
        || of_windows.is_some_and(is_named);
    let invisible = |c: &char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
            || (c.is_whitespace() && !c.is_ascii())
    };
    if is_list {
        return Some(json_list(text));
    }
    if is_quoted {
        return Some(InvalidValue::new("begins or ends with a quote").hint("remove the quotes"));
    }
    if has_variable {
        let hint = "set the value itself, because no variable is replaced here";
        return Some(InvalidValue::new("has a variable in it").hint(hint));
    }
    if text.contains(" #") && form == Form::Strict {
        let hint = "remove it: docker --env-file and systemd read it as a part of the value";
        return Some(InvalidValue::new("has a comment in it").hint(hint));
    }
    if text.ends_with(';') && form == Form::Strict {
        return Some(InvalidValue::new("ends in a semicolon").hint("remove it"));
    }
    let found = text.chars().find(invisible)?;
    let hint = format!("type the value again without U+{:04X}", u32::from(found));
    Some(InvalidValue::new("has a character in it that is not visible").hint(hint))
}

pub(super) fn json_list(text: &str) -> InvalidValue {
    let items = text.trim_matches(['[', ']', ' ']).split(',');
    let items = items.map(|item| item.trim().trim_matches(['"', '\'']));
    let right = items.collect::<Vec<_>>().join(",");
    let right = ShownUrl::new(&right);
    InvalidValue::new("is a JSON list").hint(format!(
        "separate the items by commas, without brackets or quotes: {right}"
    ))
}

/// An audience is compared exactly, and is a URI if it contains a `:` (RFC 7519 §2).
pub(super) fn audience(text: &str) -> Parsed<String> {
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::new("contains a control character"));
    }
    if text.contains(':') && text.contains(char::is_whitespace) {
        return Err(InvalidValue::new("is a URI with a space in it")
            .hint("separate several audiences with commas"));
    }
    Ok(text.to_owned())
}

pub(super) fn algorithm(text: &str) -> Parsed<Algorithm> {
    // We don't suggest HS256: it needs a secret with which every verifier could also sign
    let is_meant = text.starts_with(['H', 'h']) || text.contains("HS256");
    algorithm_with(text, |algorithm| is_meant || !algorithm.is_symmetric())
}

/// Parses an algorithm. If that fails, suggests only those that are `usable`.
fn algorithm_with(text: &str, usable: impl Fn(Algorithm) -> bool) -> Parsed<Algorithm> {
    if let Ok(algorithm) = text.parse() {
        return Ok(algorithm);
    }
    let several: Vec<_> = text
        .split([' ', ';', '|', '/', '+'])
        .filter(|name| !name.is_empty())
        .collect();
    let is_usable = |name: &&str| name.parse().is_ok_and(&usable);
    if several.len() > 1 && several.iter().all(is_usable) {
        let right = several.join(",");
        return Err(InvalidValue::new("is more than one algorithm").suggest(Some(right)));
    }
    let known = Algorithm::ALL.iter().copied();
    let known = known.filter(|algorithm| usable(*algorithm));
    let known = known.map(Algorithm::as_str);
    Err(match text.to_ascii_uppercase().as_str() {
        "NONE" => {
            InvalidValue::new("would accept unsigned tokens, and is never allowed (RFC 8725 §3.2)")
        }
        "HS384" | "HS512" => InvalidValue::new("is not supported")
            .hint("HS256 is the only supported algorithm with a secret"),
        "ES256K" | "ESB256" | "ESB320" | "ESB384" | "ESB512" => {
            InvalidValue::new("is for a curve that is not supported")
        }
        "ED448" => {
            InvalidValue::new("is not supported").hint("EdDSA is supported with Ed25519 only")
        }
        "ED25519" => InvalidValue::new("is not a known algorithm").suggest(Some("Ed25519")),
        _ => InvalidValue::new("is not a known algorithm").suggest(nearest(text, known)),
    })
}

/// A secret for HS256 must be at least as long as the hash (RFC 7518 §3.2).
pub(super) fn secret(text: &str) -> Parsed<Secret> {
    if is_public_key(text) {
        return Err(InvalidValue::new(
            "is a key for another algorithm; a public key is not secret, so anyone could sign tokens with it",
        )
        .hint("allow the algorithm of the key instead of HS256, such as RS256, and set AUTH0_JWKS_FILE to a file with the public key"));
    }
    strong_secret(text, "too short for HS256 (RFC 7518 §3.2)")
}

/// Returns `true` for a public key or a certificate: PEM, JWKs, a key for SSH or DER, also in
/// base64.
fn is_public_key(text: &str) -> bool {
    let is_text = |text: &str| {
        const SSH: [&str; 3] = ["ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-"];
        let text = text.trim_start();
        text.contains(PEM)
            || text.starts_with(['{', '[']) && text.contains("\"kty\"")
            || SSH.iter().any(|start| text.starts_with(start))
    };
    let base64: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != '=')
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let decoded = STANDARD_NO_PAD.decode(base64).unwrap_or_default();
    is_text(text) || der::is_public_key(&decoded) || str::from_utf8(&decoded).is_ok_and(is_text)
}

/// Parses a secret of 32 bytes or more. Rejects secrets that anyone can look up or guess.
fn strong_secret(text: &str, too_short: &str) -> Parsed<Secret> {
    /// From the tutorial of FastAPI, a tutorial of Spring Security that many projects copied, and
    /// the examples in RFC 7515 §A.1 and RFC 7520 §3.5.
    const PUBLISHED: [&str; 4] = [
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    ];
    let mut published = PUBLISHED.iter();
    let reason = if text.len() < 32 {
        format!("is {too_short}")
    } else if let Some(length) = repeated(text.as_bytes()) {
        format!("repeats {length} bytes, so it is {too_short}")
    } else if published.any(|secret| secret.eq_ignore_ascii_case(text.trim())) {
        "is published, so it is not secret".to_owned()
    } else {
        return Ok(Secret::new(text));
    };
    Err(InvalidValue::new(reason)
        .hint("use 32 bytes or more, for example from: openssl rand -base64 48"))
}

/// If a secret repeats a text of less than 32 bytes, returns the length of that text.
fn repeated(secret: &[u8]) -> Option<usize> {
    let most = (secret.len() / 2).min(31);
    (1..=most).find(|length| secret[*length..] == secret[..secret.len() - length])
}

/// Any length will do
#[allow(clippy::unnecessary_wraps, reason = "the type of every parser")]
pub(super) fn client_secret(text: &str) -> Parsed<Secret> {
    Ok(Secret::new(text))
}

pub(super) fn text(text: &str) -> Parsed<String> {
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::new("contains a control character"));
    }
    Ok(text.to_owned())
}

/// The URL may contain a password, so it's stored as a secret.
pub(super) fn state_store(text: &str) -> Parsed<Secret> {
    match Store::check_url(text.trim()) {
        Ok(()) => Ok(Secret::new(text.trim())),
        Err(fault) => Err(InvalidValue::new(fault.as_str())),
    }
}

pub(super) fn store_outage(text: &str) -> Parsed<StoreOutage> {
    match text {
        "refuse" => Ok(StoreOutage::Refuse),
        "local" => Ok(StoreOutage::Local),
        _ => Err(InvalidValue::new("is neither refuse nor local")
            .suggest(nearest(text, ["refuse", "local"]))),
    }
}

pub(super) fn client_certificates(text: &str) -> Parsed<bool> {
    match text {
        "off" => Ok(false),
        "request" => Ok(true),
        _ => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" | "require" | "required" | "optional" => {
                    Some("request")
                }
                "false" | "no" | "0" => Some("off"),
                _ => nearest(text, ["off", "request"]),
            };
            Err(InvalidValue::new("is neither off nor request").suggest(meant))
        }
    }
}

pub(super) fn certificate_field(text: &str) -> Parsed<CertificateSource> {
    const NAMES: [&str; 3] = [
        "client-cert",
        "x-forwarded-client-cert",
        "x-ssl-client-cert",
    ];
    match text.to_ascii_lowercase().as_str() {
        "client-cert" => Ok(CertificateSource::ClientCert),
        "x-forwarded-client-cert" => Ok(CertificateSource::XForwardedClientCert),
        "x-ssl-client-cert" => Ok(CertificateSource::XSslClientCert),
        _ => Err(InvalidValue::new("is not a supported field").suggest(nearest(text, NAMES))),
    }
}

/// Must be at least as long as the hash
pub(super) fn nonce_secret(text: &str) -> Parsed<Secret> {
    strong_secret(text, "too short")
}

pub(super) fn dpop_mode(text: &str) -> Parsed<DpopMode> {
    match text {
        "off" => Ok(DpopMode::Off),
        "allowed" => Ok(DpopMode::Allowed),
        "required" => Ok(DpopMode::Required),
        _ => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" | "optional" => Some("allowed"),
                "false" | "no" | "0" => Some("off"),
                _ => nearest(text, ["off", "allowed", "required"]),
            };
            Err(InvalidValue::new("is not off, allowed or required").suggest(meant))
        }
    }
}

pub(super) fn nonce(text: &str) -> Parsed<bool> {
    match text {
        "off" => Ok(false),
        "required" => Ok(true),
        _ => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Some("required"),
                "false" | "no" | "0" => Some("off"),
                _ => nearest(text, ["off", "required"]),
            };
            Err(InvalidValue::new("is neither off nor required").suggest(meant))
        }
    }
}

/// Parses an algorithm for proofs. It must be asymmetric: a proof contains its own key, so that key
/// has to be a public one.
pub(super) fn proof_algorithm(text: &str) -> Parsed<Algorithm> {
    const SECRET: &str =
        "uses a shared secret, but a proof contains the key that verifies it (RFC 9449 §4.2)";
    // Also misspelt, such as HS-256
    let begins = text.get(..2);
    if begins.is_some_and(|begins| begins.eq_ignore_ascii_case("HS")) {
        return Err(InvalidValue::new(SECRET));
    }
    let usable = |algorithm: Algorithm| !algorithm.is_symmetric();
    let algorithm = algorithm_with(text, usable)?;
    if usable(algorithm) {
        Ok(algorithm)
    } else {
        Err(InvalidValue::new(SECRET))
    }
}

/// The longest accepted duration, which keeps sums of times from overflowing
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// At most a year, and zero is fine.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    duration_within(text, Duration::ZERO..=YEAR)
}

pub(super) fn positive_duration(text: &str) -> Parsed<Duration> {
    duration_from(text, Duration::from_millis(1))
}

pub(super) fn duration_from(text: &str, least: Duration) -> Parsed<Duration> {
    duration_within(text, least..=YEAR)
}

/// Parses a duration in this range: `500ms`, `10s`, `5m`, `1h`.
pub(super) fn duration_within(text: &str, range: RangeInclusive<Duration>) -> Parsed<Duration> {
    let number_ends = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(number_ends.unwrap_or(text.len()));
    let Ok(number) = number.parse::<u64>() else {
        return Err(InvalidValue::new("is not a duration"));
    };
    let Some(found) = in_unit(number, unit) else {
        let guess = guessed_unit(unit)
            .and_then(|(unit, times)| Some((number.checked_mul(times)?, unit)))
            .filter(|(number, unit)| in_unit(*number, unit).is_some_and(|d| range.contains(&d)))
            .map(|(number, unit)| format!("{number}{unit}"));
        let why = match unit {
            "" => "has no unit",
            _ => "is not a duration",
        };
        return Err(InvalidValue::new(why).suggest(guess));
    };
    if range.contains(&found) {
        return Ok(found);
    }
    let (least, most) = (written(*range.start()), written(*range.end()));
    Err(InvalidValue::new("is out of range").hint(format!("give {least} to {most}")))
}

fn in_unit(number: u64, unit: &str) -> Option<Duration> {
    Some(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(60 * 60)),
        _ => return None,
    })
}

/// The unit that is probably meant, and the factor from `unit` to it.
fn guessed_unit(unit: &str) -> Option<(&'static str, u64)> {
    Some(match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" => ("ms", 1),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => ("s", 1),
        "m" | "min" | "mins" | "minute" | "minutes" => ("m", 1),
        "h" | "hr" | "hrs" | "hour" | "hours" => ("h", 1),
        "d" | "day" | "days" => ("h", 24),
        "w" | "week" | "weeks" => ("h", 7 * 24),
        _ => return None,
    })
}

fn written(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (s, 0) if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        (s, 0) if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        (s, 0) => format!("{s}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
}

pub(super) fn number<T: TryFrom<u64> + Display>(
    text: &str,
    range: RangeInclusive<u64>,
) -> Parsed<T> {
    let number = |text: &str| {
        let number = text.parse().ok().filter(|number| range.contains(number))?;
        T::try_from(number).ok()
    };
    // `str::parse` also accepts a leading `+`
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text).ok_or_else(|| InvalidValue::new("is out of range"));
    }
    let digits = text.replace(['_', ',', '.', '\'', ' '], "");
    Err(InvalidValue::new("is not a whole number").suggest(number(&digits)))
}

/// Parses a number of bytes in this range: `1000`, `32KiB`, `1MiB`.
pub(super) fn size<T: TryFrom<u64>>(text: &str, range: RangeInclusive<u64>) -> Parsed<T> {
    let number_ends = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(number_ends.unwrap_or(text.len()));
    let (scale, written) = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => (1, ""),
        "k" | "kb" | "kib" => (KIB, "KiB"),
        "m" | "mb" | "mib" => (MIB, "MiB"),
        _ => return Err(InvalidValue::new("is not a size")),
    };
    let Ok(found) = number.parse::<u64>() else {
        return Err(InvalidValue::new("is not a size"));
    };
    let found = Some(found.saturating_mul(scale)).filter(|found| range.contains(found));
    let found = found.and_then(|found| T::try_from(found).ok());
    if unit == written {
        return found.ok_or_else(|| InvalidValue::new("is out of range"));
    }
    let guess = found.map(|_| format!("{number}{written}"));
    Err(InvalidValue::new("is not a size").suggest(guess))
}

/// A realm must need no escapes in a quoted string (RFC 9110 §5.6.4).
pub(super) fn realm(text: &str) -> Parsed<String> {
    if text.len() > 128 {
        return Err(InvalidValue::new("is longer than 128 bytes"));
    }
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !text.bytes().all(plain) {
        return Err(InvalidValue::new(
            "contains a character that is not allowed in a challenge",
        ));
    }
    Ok(text.to_owned())
}

/// Scopes are separated by single spaces (RFC 6749 §3.3).
pub(super) fn scopes(text: &str) -> Parsed<Policy> {
    if text.contains(',') {
        let right = "separate several scopes by single spaces (RFC 6749 §3.3)";
        return Err(InvalidValue::new("has a comma in it").hint(right));
    }
    auth::policy::scopes(text).ok_or_else(|| InvalidValue::new("is not a list of scopes"))
}

pub(super) fn scope_names(text: &str) -> Parsed<Vec<String>> {
    scopes(text)?;
    let names: Vec<_> = text.split(' ').map(str::to_owned).collect();
    if names.iter().any(|name| name == "offline_access") {
        return Err(InvalidValue::new("names offline_access").hint(
            "remove it: it asks the issuer for a refresh token and is not a scope of an API",
        ));
    }
    Ok(names)
}

pub(super) fn token_profile(text: &str) -> Parsed<TokenProfile> {
    match text {
        "any" => Ok(TokenProfile::Any),
        "rfc9068" => Ok(TokenProfile::Rfc9068),
        _ => {
            Err(InvalidValue::new("is not a known profile")
                .suggest(nearest(text, ["any", "rfc9068"])))
        }
    }
}

pub(super) fn introspection(text: &str) -> Parsed<IntrospectionMode> {
    match text {
        "off" => Ok(IntrospectionMode::Off),
        "opaque" => Ok(IntrospectionMode::Opaque),
        "always" => Ok(IntrospectionMode::Always),
        _ => {
            let invalid = InvalidValue::new("is not off, opaque or always");
            Err(match text.to_ascii_lowercase().as_str() {
                // could mean `opaque` or `always`
                "on" | "true" | "yes" | "1" => invalid,
                "false" | "no" | "0" => invalid.suggest(Some("off")),
                _ => invalid.suggest(nearest(text, ["off", "opaque", "always"])),
            })
        }
    }
}

pub(super) fn key_file(text: &str) -> Parsed<PathBuf> {
    if text.contains("://") {
        return Err(InvalidValue::new("is a URL").hint("set AUTH0_JWKS_URI to it instead"));
    }
    if text.starts_with('{') {
        return Err(InvalidValue::new("is the content of a key set")
            .hint("set the path of a file with it instead"));
    }
    file(text)
}

/// Doesn't check whether a file exists there
pub(super) fn file(text: &str) -> Parsed<PathBuf> {
    if text.contains("://") {
        return Err(InvalidValue::new("is a URL"));
    }
    if text.starts_with(PEM) {
        return Err(InvalidValue::new("is the content of a PEM file")
            .hint("set the path of the file instead"));
    }
    Ok(PathBuf::from(text))
}

/// Parses an IP address and a port. Host names aren't accepted, as one may have several addresses.
pub(super) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    address_or_port(text, 8000)
}

/// Like [`socket_address`], for the metrics, which need their own port
pub(super) fn metrics_address(text: &str) -> Parsed<SocketAddr> {
    address_or_port(text, 9090)
}

/// If the address has no port, suggests `port`
fn address_or_port(text: &str, port: u16) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| {
        let bare = text.strip_prefix("http://").or(text.strip_prefix("tcp://"));
        let bare = bare.unwrap_or(text);
        let bare = bare.trim_end_matches('/').replace("localhost", "127.0.0.1");
        // In `::1:8000`, the last number is more likely a port than a part of the address
        let of_ipv6 = bare
            .rsplit_once(':')
            .map(|(host, port)| format!("[{host}]:{port}"));
        let guess = [
            bare.clone(),
            of_ipv6.unwrap_or_default(),
            format!("127.0.0.1{bare}"),
            format!("127.0.0.1:{bare}"),
            bare.replacen('*', "0.0.0.0", 1),
        ]
        .into_iter()
        .find_map(|guess| guess.parse::<SocketAddr>().ok())
        .or_else(|| Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, port)));
        InvalidValue::new("is not an address with a port").suggest(guess)
    })
}

/// This dependency logs an error for each untrusted certificate, on every retry. We log it once.
const NOISY: &str = "rustls_platform_verifier";

/// Parses a log filter of tracing-subscriber. Turns off [`NOISY`] unless the filter mentions it.
pub(super) fn log_filter(text: &str) -> Parsed<EnvFilter> {
    let mut directives = Vec::new();
    // tracing-subscriber 0.3.23 truncates a name that follows whitespace
    for directive in text.split(',').map(str::trim).filter(|d| !d.is_empty()) {
        match directive.split_once('=') {
            Some((target, level)) => check_target(target, level)?,
            None => check_level(directive)?,
        }
        directives.push(directive.to_owned());
    }
    if directives.is_empty() || !text.is_ascii() {
        return Err(InvalidValue::new("is not a log filter"));
    }
    if !directives.iter().any(|one| one.starts_with(NOISY)) {
        directives.push(format!("{NOISY}=off"));
    }
    EnvFilter::try_new(directives.join(",")).map_err(|_| InvalidValue::new("is not a log filter"))
}

/// Rejects a directive without `=`, unless it is a level or a span in brackets. tracing-subscriber
/// would take any other word for a target, and then log nothing else.
fn check_level(directive: &str) -> Parsed<()> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let lower = directive.to_ascii_lowercase();
    let is_number = matches!(directive.as_bytes(), [b'0'..=b'5']);
    if is_number || directive.starts_with('[') || LEVELS.contains(&&*lower) {
        return Ok(());
    }
    let near = |level: &&&str| {
        strsim::damerau_levenshtein(&lower, level) == 1
            || (lower.len() > 2 && (lower.starts_with(**level) || level.starts_with(&lower)))
    };
    let invalid = InvalidValue::new("has no level");
    if let Some(level) = LEVELS.iter().find(near) {
        return Err(invalid.suggest(Some(level)));
    }
    if is_module_path(directive) && directive.contains(['_', ':']) {
        return Err(invalid.suggest(Some(format!("{directive}=debug"))));
    }
    Err(invalid.hint(
        "give error, warn, info, debug, trace or off, alone or after a target, such as \
         info,warp_bearer=debug",
    ))
}

/// Rejects a target with a hyphen. Targets are module paths, so `warp-bearer=debug` would not match
/// anything.
fn check_target(target: &str, level: &str) -> Parsed<()> {
    if target.contains('[') || !target.contains('-') {
        return Ok(());
    }
    let path = target.replace('-', "_");
    let guess = is_module_path(&path).then(|| format!("{path}={level}"));
    Err(InvalidValue::new("names a target with a hyphen").suggest(guess))
}

fn is_module_path(text: &str) -> bool {
    text.split("::").all(|part| {
        let mut chars = part.chars();
        let begins = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        begins && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(InvalidValue::new("is not a log format").suggest(nearest(text, ["text", "json"]))),
    }
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" | "on" => Some("on"),
                "false" | "no" | "0" | "off" => Some("off"),
                _ => None,
            };
            Err(InvalidValue::new("is neither on nor off").suggest(meant))
        }
    }
}

pub(super) fn audience_claim(text: &str) -> Parsed<AudienceClaim> {
    let known = AudienceClaim::ALL
        .iter()
        .copied()
        .map(AudienceClaim::as_str);
    text.parse()
        .map_err(|_| InvalidValue::new("is not a supported claim").suggest(nearest(text, known)))
}

pub(super) fn token_field(text: &str) -> Parsed<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes());
    let name = name.map_err(|_| {
        let bare = text
            .strip_suffix(':')
            .filter(|bare| token_field(bare).is_ok());
        InvalidValue::new("is not the name of a header").suggest(bare)
    })?;
    match name.as_str() {
        "authorization" => Err(InvalidValue::new("is the default")
            .hint("remove it: by default, the token is in Authorization: Bearer")),
        "host"
        | "accept"
        | "access-control-request-headers"
        | "access-control-request-method"
        | "client-cert"
        | "connection"
        | "content-length"
        | "content-type"
        | "cookie"
        | "dpop"
        | "expect"
        | "if-none-match"
        | "origin"
        | "proxy-authorization"
        | "te"
        | "traceparent"
        | "tracestate"
        | "transfer-encoding"
        | "upgrade"
        | "x-forwarded-client-cert"
        | "x-forwarded-host"
        | "x-forwarded-method"
        | "x-forwarded-uri"
        | "x-request-id"
        | "x-ssl-client-cert" => Err(InvalidValue::new("has another purpose")),
        _ => Ok(name),
    }
}

/// The name of a claim, or a path of members separated by dots
pub(super) fn claim_path(text: &str) -> Parsed<String> {
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::new("contains a control character"));
    }
    if let Some(path) = text.strip_prefix("$.") {
        let path = claim_path(path).ok();
        return Err(InvalidValue::new("begins with `$.`, which paths do not").suggest(path));
    }
    if text.split('.').any(str::is_empty) {
        return Err(InvalidValue::new("has an empty name between its dots")
            .hint("give the name of a claim, or a path such as realm_access.roles"));
    }
    Ok(text.to_owned())
}

/// An entry of the table of scopes: `admin > read:messages write:messages`
pub(super) fn scope_inclusion(text: &str) -> Parsed<(String, Vec<String>)> {
    let form = "write a scope, a > and the scopes that it includes: admin > read:messages";
    let mut words = text.split_ascii_whitespace();
    let (Some(scope), Some(">")) = (words.next(), words.next()) else {
        return Err(InvalidValue::new("does not say what the scope includes").hint(form));
    };
    let included: Vec<_> = words.map(str::to_owned).collect();
    let is_scope = |name: &String| name != ">" && auth::policy::scopes(name).is_some();
    if included.is_empty()
        || auth::policy::scopes(scope).is_none()
        || !included.iter().all(is_scope)
    {
        return Err(InvalidValue::new("does not say what the scope includes").hint(form));
    }
    Ok((scope.to_owned(), included))
}

/// The most similar known name, with at most two edits.
pub(super) fn nearest(
    text: &str,
    known: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&text, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(edits, _)| *edits <= 2)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}
