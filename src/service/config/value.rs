//! One value as text → the type that the configuration holds.
//!
//! Pure, and without a variable's name: whoever reads the value knows that. A guess at what was
//! meant is offered only where it would be right, so it never repeats a mistake or a password.

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use crate::algorithm::Algorithm;
use crate::{
    auth::{self, policy::Policy},
    service::config::{
        Secret, TokenProfile,
        fault::{PEM, Wrong},
    },
    service::observe::logging::LogFormat,
};

pub(super) type Parsed<T> = Result<T, Wrong>;

/// What stands for a value in documentation: `your.domain.auth0.com`, `YOUR_API`, `{yourDomain}`,
/// `<secret>`. A company may well be called `your-energy.com`, hence the words.
pub(super) fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "domain", "tenant", "api", "audience", "issuer", "auth0", "client", "secret", "app",
        "realm",
    ];
    let bare = text.strip_prefix("https://").unwrap_or(text);
    if bare.starts_with('<') && (bare.trim_end_matches('/').ends_with('>') || bare.contains(">.")) {
        return true;
    }
    let text = text.to_ascii_lowercase();
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

/// An audience, compared to the letter (RFC 7519 §2: with a `:` in it, it is a URI).
pub(super) fn audience(text: &str) -> Parsed<String> {
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("holds a control character"));
    }
    if text.contains(':') && text.contains(char::is_whitespace) {
        return Err(
            Wrong::new("is a URI with a blank in it").hint("separate several audiences by commas")
        );
    }
    Ok(text.to_owned())
}

/// An algorithm that is verified here.
pub(super) fn algorithm(text: &str) -> Parsed<Algorithm> {
    if let Ok(algorithm) = text.parse() {
        return Ok(algorithm);
    }
    let known = Algorithm::ALL.iter().copied().map(Algorithm::as_str);
    Err(match text.to_ascii_uppercase().as_str() {
        "NONE" => Wrong::new("would let unsigned tokens in and is always refused (RFC 8725 §3.2)"),
        "HS384" | "HS512" => Wrong::new("is not supported")
            .hint("HS256 is the one algorithm here that works with a secret"),
        "ES512" | "ES256K" => {
            Wrong::new("is not supported").hint("ES256 and ES384 are the elliptic curves here")
        }
        "ED25519" => Wrong::new("is no algorithm we know").meant(Some("EdDSA")),
        _ => Wrong::new("is no algorithm we know").meant(nearest(text, known)),
    })
}

/// A secret for HS256: as long as its hash or longer (RFC 7518 §3.2).
pub(super) fn secret(text: &str) -> Parsed<Secret> {
    if text.len() < 32 {
        return Err(Wrong::new("is too short for HS256 (RFC 7518 §3.2)")
            .hint("give 32 bytes or more, as from: openssl rand -base64 48"));
    }
    Ok(Secret(text.to_owned()))
}

/// The longest duration there is a use for; it keeps sums of times from overflowing.
pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The shortest duration that is one.
pub(super) const INSTANT: Duration = Duration::from_millis(1);

/// A duration as `500ms`, `10s`, `5m`, `1h`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Parsed<Duration> {
    move |text| {
        let number_ends = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(number_ends.unwrap_or(text.len()));
        let Ok(number) = number.parse::<u64>() else {
            return Err(Wrong::new("is no duration"));
        };
        let Some(found) = in_unit(number, unit) else {
            let guess = guessed_unit(unit)
                .filter(|unit| in_unit(number, unit).is_some_and(|d| range.contains(&d)))
                .map(|unit| format!("{number}{unit}"));
            let why = match unit {
                "" => "has no unit",
                _ => "is no duration",
            };
            return Err(Wrong::new(why).meant(guess));
        };
        if range.contains(&found) {
            return Ok(found);
        }
        let (least, most) = (written(*range.start()), written(*range.end()));
        Err(Wrong::new("is out of range").hint(format!("give {least} to {most}")))
    }
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

fn guessed_unit(unit: &str) -> Option<&'static str> {
    Some(match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" => "ms",
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
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

/// A whole number.
pub(super) fn number<T: TryFrom<u64> + Display>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Parsed<T> {
    move |text| {
        let number = |text: &str| {
            let number = text.parse().ok().filter(|number| range.contains(number))?;
            T::try_from(number).ok()
        };
        // `parse` would take a `+`.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return number(text).ok_or_else(|| Wrong::new("is out of range"));
        }
        let digits = text.replace(['_', ',', '.', '\'', ' '], "");
        Err(Wrong::new("is no whole number").meant(number(&digits)))
    }
}

/// A number of bytes as `1000`, `32KiB`, `1MiB`.
pub(super) fn size<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<T> {
    move |text| {
        let number_ends = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(number_ends.unwrap_or(text.len()));
        let (scale, written) = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => (1, ""),
            "k" | "kb" | "kib" => (1024, "KiB"),
            "m" | "mb" | "mib" => (1024 * 1024, "MiB"),
            _ => return Err(Wrong::new("is no size")),
        };
        let Ok(found) = number.parse::<u64>() else {
            return Err(Wrong::new("is no size"));
        };
        let found = Some(found.saturating_mul(scale)).filter(|found| range.contains(found));
        let found = found.and_then(|found| T::try_from(found).ok());
        if unit == written {
            return found.ok_or_else(|| Wrong::new("is out of range"));
        }
        let guess = found.map(|_| format!("{number}{written}"));
        Err(Wrong::new("is no size").meant(guess))
    }
}

/// A realm that stands in a quoted string as it is (RFC 9110 §5.6.4).
pub(super) fn realm(text: &str) -> Parsed<String> {
    if text.len() > 128 {
        return Err(Wrong::new("is longer than 128 bytes"));
    }
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !text.bytes().all(plain) {
        return Err(Wrong::new(
            "holds a character that a challenge cannot quote",
        ));
    }
    Ok(text.to_owned())
}

/// Scopes with spaces between them, as everybody else writes them (RFC 6749 §3.3).
pub(super) fn scopes(text: &str) -> Parsed<Policy> {
    if text.contains(',') {
        let right = "separate several scopes by single spaces (RFC 6749 §3.3)";
        return Err(Wrong::new("has a comma in it").hint(right));
    }
    auth::policy::scopes(text).ok_or_else(|| Wrong::new("is no list of scopes"))
}

/// `any` or `rfc9068`.
pub(super) fn token_profile(text: &str) -> Parsed<TokenProfile> {
    match text {
        "any" => Ok(TokenProfile::Any),
        "rfc9068" => Ok(TokenProfile::Rfc9068),
        _ => Err(Wrong::new("is no profile we know").meant(nearest(text, ["any", "rfc9068"]))),
    }
}

/// A path. Whether a file is there, whoever reads it finds out.
pub(super) fn file(text: &str) -> Parsed<PathBuf> {
    if text.contains("://") {
        return Err(Wrong::new("is a URL"));
    }
    if text.starts_with(PEM) {
        return Err(Wrong::new("is PEM itself").hint("give the path of a file that holds it"));
    }
    Ok(PathBuf::from(text))
}

/// An address and a port. Names are not looked up: which of several addresses would it be?
pub(super) fn listen(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| {
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.trim_end_matches('/').replace("localhost", "127.0.0.1");
        let guess = [
            bare.clone(),
            format!("127.0.0.1{bare}"),
            format!("127.0.0.1:{bare}"),
            bare.replacen('*', "0.0.0.0", 1),
        ]
        .into_iter()
        .find_map(|guess| guess.parse::<SocketAddr>().ok())
        .or_else(|| Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, 8000)));
        Wrong::new("is no address with a port").meant(guess)
    })
}

/// A dependency that logs every untrusted certificate as an error, at each retry and with the path
/// of a source file. Our own line says the same once.
const NOISY: &str = "rustls_platform_verifier";

/// Parses a log filter of tracing-subscriber; [`NOISY`] is off unless the filter names it.
pub(super) fn log_filter(text: &str) -> Parsed<EnvFilter> {
    let mut directives = Vec::new();
    // tracing-subscriber 0.3.23 cuts a name short where a blank stands before it.
    for directive in text.split(',').map(str::trim).filter(|d| !d.is_empty()) {
        match directive.split_once('=') {
            Some((target, level)) => hyphen(target, level)?,
            None => bare_level(directive)?,
        }
        directives.push(directive.to_owned());
    }
    if directives.is_empty() || !text.is_ascii() {
        return Err(Wrong::new("is no log filter"));
    }
    if !directives.iter().any(|one| one.starts_with(NOISY)) {
        directives.push(format!("{NOISY}=off"));
    }
    EnvFilter::try_new(directives.join(",")).map_err(|_| Wrong::new("is no log filter"))
}

/// A directive without `=` is a level, or a span in brackets. tracing-subscriber would take any
/// other word for a target and, without a level for the rest, log nothing at all.
fn bare_level(directive: &str) -> Result<(), Wrong> {
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
    let wrong = Wrong::new("names no level");
    if let Some(level) = LEVELS.iter().find(near) {
        return Err(wrong.meant(Some(level)));
    }
    if directive.contains(['_', ':']) {
        return Err(wrong.meant(Some(format!("{directive}=debug"))));
    }
    Err(wrong.hint(
        "give error, warn, info, debug, trace or off, alone or after a target, such as \
         info,warp_bearer=debug",
    ))
}

/// Targets are paths of modules, which have underscores: `warp-bearer=debug` would match nothing.
fn hyphen(target: &str, level: &str) -> Result<(), Wrong> {
    if target.contains('[') || !target.contains('-') {
        return Ok(());
    }
    let guess = format!("{}={level}", target.replace('-', "_"));
    Err(Wrong::new("names a target with a hyphen").meant(Some(guess)))
}

/// `text` or `json`.
pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong::new("is no log format").meant(nearest(text, ["text", "json"]))),
    }
}

/// `on` or `off`.
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
            Err(Wrong::new("is neither on nor off").meant(meant))
        }
    }
}

/// The one that two slips of the hand or fewer could have made into this.
fn nearest(text: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&text, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(slips, _)| *slips <= 2)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}
