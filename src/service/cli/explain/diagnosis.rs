//! Finds the likely cause of a rejection.
//!
//! This is a guess, and it never affects the verdict. Patterns of individual vendors are in
//! `vendor/`.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use crate::{
    algorithm::Algorithm,
    auth::{
        AudienceClaim, AuthError,
        explain::{Schemes, Step, StepValue, is_jwt_like},
        keys::{
            fetch::{FetchError, Layer},
            key_set::{Key, NoKeys},
            probe,
        },
        token::json::Fault,
    },
    service::{
        api::errors::{Cause, causes},
        cli::explain::{
            advice::Advice,
            audience,
            dpop_off::dpop_is_off,
            facts::Facts,
            head_size,
            issuer_name::{self, is_local},
            pasted::{self, after},
            unknown_key,
            vendor::patterns::{in_its_words, of_policy, of_resource, of_token},
        },
        cli::fetch_advice::{Wanted, fetch_advice},
        config::{Setting, TokenProfile},
    },
};

pub(in crate::service) fn advice(facts: &Facts<'_>, error: AuthError) -> Advice {
    if error == AuthError::WrongAudience
        && let Some(advice) = audience::of_any_issuer(facts)
    {
        return advice;
    }
    if let Some(advice) = of_token(facts, error) {
        return advice;
    }
    let cause = match error {
        AuthError::TokenTooLarge => {
            return head_size::token_too_large(&facts.config, facts.environment, facts.token.len());
        }
        AuthError::TokenNotJwt => not_a_jwt(facts),
        AuthError::TokenMalformed => return malformed(facts),
        AuthError::AlgorithmNotAllowed => return algorithm(facts),
        AuthError::UnsupportedCriticalHeader => causes::EXTENSION,
        AuthError::WrongTokenType => wrong_type(facts),
        AuthError::UnknownIssuer => return issuer_name::unknown(facts),
        AuthError::WrongAudience => match of_resource(facts) {
            Some(advice) => return advice,
            None => return audience::wrong(facts),
        },
        AuthError::TokenExpired => expired(facts),
        AuthError::TokenNotYetValid => not_yet(facts),
        AuthError::MissingClaim if facts.trace.step("introspection").is_some() => {
            return missing_in_answer(facts);
        }
        AuthError::MissingClaim => missing(facts),
        AuthError::InvalidClaim => causes::WRONG_TYPE,
        AuthError::TokenBound => match bound(facts) {
            causes::DPOP_BOUND => return dpop_is_off(&facts.config, facts.environment),
            cause => cause,
        },
        AuthError::KeysUnavailable { .. } => return no_keys(facts),
        AuthError::UnknownKey => return unknown_key::advice(facts),
        AuthError::BadSignature => signature(facts),
        AuthError::TokenNotBound => causes::NOT_BOUND,
        AuthError::InvalidProof => return proof(facts),
        AuthError::NonceRequired => causes::FIRST_NONCE,
        AuthError::ProofReplayed => causes::PROOF_REUSED,
        AuthError::StateUnavailable { .. } => causes::STATE_DOWN,
        AuthError::TokenInactive => causes::ISSUER_SAYS_INACTIVE,
        AuthError::IntrospectionUnavailable { .. } => causes::INTROSPECTION_FAILS,
        AuthError::TokenRevoked => causes::ON_THE_LIST,
        AuthError::InsufficientAuthentication => causes::WEAK_LOGIN,
        AuthError::InsufficientScope | AuthError::InsufficientPermissions => {
            return of_policy(facts, error, None, None);
        }
        // without `--proof`, the syntax of the header is checked earlier
        AuthError::MissingToken if facts.failed("scheme") => {
            return dpop_is_off(&facts.config, facts.environment);
        }
        AuthError::MissingToken
        | AuthError::MalformedAuthorization
        | AuthError::MultipleCredentials => of_field("", BEARER, error),
    };
    in_its_words(facts, cause).into()
}

const BEARER: &str = "Bearer";

/// Advice for wrong syntax in `Authorization`
pub(in crate::service) fn of_authorization(
    field: &str,
    schemes: Schemes,
    error: AuthError,
) -> Advice {
    let used = schemes.used_in(field);
    let cause = of_field(field, used, error);
    let token = after(field, used).unwrap_or(field);
    let advice = of_form(cause, token, error);
    // Without a supported scheme, the advice may name any scheme that we accept
    if error == AuthError::MissingToken && cause != causes::NO_SPACE {
        let advice = match invisible_character(field) {
            Some(sentence) => advice.and(&sentence),
            None => advice,
        };
        return advice.with_schemes(schemes.as_str(), schemes.as_str());
    }
    advice.with_schemes(used, schemes.instead_of(used))
}

/// Advice for wrong syntax in the header that `AUTH0_TOKEN_FIELD` names
pub(in crate::service) fn of_token_field(value: &str, error: AuthError) -> Advice {
    of_form(of_bare_field(value, error), value, error)
}

fn of_form(cause: Cause, token: &str, error: AuthError) -> Advice {
    if error == AuthError::MultipleCredentials && pasted::has_no_token(token) {
        return causes::NO_TOKEN_TEXT.into();
    }
    match foreign_character(token.trim_matches([' ', '\t'])) {
        Some(sentence) if cause == causes::FOREIGN_CHARACTER => Advice::from(cause).and(&sentence),
        _ => cause.into(),
    }
}

/// Describes the first character that isn't allowed in a token. Note that it may be invisible.
fn foreign_character(token: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let (at, found) = token.chars().enumerate().find(|(_, c)| !fits(*c))?;
    let name = match found {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\u{a0}' => "U+00A0, a no-break space".to_owned(),
        '\u{1b}' => "U+001B, which begins the color codes of a terminal".to_owned(),
        '\u{2026}' => "U+2026, an ellipsis".to_owned(),
        '\u{2018}'..='\u{201f}' => format!("U+{:04X}, a typographic quote", u32::from(found)),
        _ if pasted::is_invisible(found) => {
            format!("U+{:04X}, which is invisible", u32::from(found))
        }
        _ if found.is_ascii_graphic() => found.to_string(),
        _ => format!("U+{:04X}", u32::from(found)),
    };
    let position = at + 1;
    Some(format!("The first one is {name}, at position {position}."))
}

/// Describes the first character that a reader does not see.
fn invisible_character(field: &str) -> Option<String> {
    let mut characters = field.chars().enumerate();
    let (at, found) = characters.find(|(_, c)| pasted::is_invisible(*c))?;
    let (code, position) = (u32::from(found), at + 1);
    Some(format!(
        "It has an invisible character, U+{code:04X}, at position {position}."
    ))
}

/// Finds what is wrong with the syntax of `Authorization`. `used` is the supported scheme at the
/// start of the value, if it has one.
fn of_field(field: &str, used: &str, error: AuthError) -> Cause {
    if error == AuthError::MultipleCredentials {
        return causes::TWO_CREDENTIALS;
    }
    if error == AuthError::MissingToken {
        let scheme = field.split(' ').next().unwrap_or_default();
        let is_token = pasted::repaired(scheme) == Some(scheme);
        return match field {
            "" => causes::NO_FIELD,
            _ if pasted::is_placeholder(field) => causes::UNFILLED_FIELD,
            _ if field.split(' ').all(pasted::is_placeholder) => causes::UNFILLED_FIELD,
            _ if is_token => causes::NO_SCHEME,
            _ if field.starts_with(['"', '\'', '`']) => causes::QUOTED_FIELD,
            _ if after(field, used).is_some() => causes::NO_SPACE,
            _ => causes::OTHER_SCHEME,
        };
    }
    let rest = field.get(used.len()..).unwrap_or_default();
    let token = rest.trim();
    let repeated = after(token, used);
    if token.is_empty() {
        causes::NOTHING_SENT
    } else if pasted::is_placeholder(token) || token.trim_matches(['"', '\'', '`']).is_empty() {
        causes::UNFILLED
    } else if repeated.is_some_and(pasted::has_no_token) {
        causes::NO_TOKEN_TEXT
    } else if repeated.is_some() {
        causes::SCHEME_TWICE
    } else if !rest.starts_with([' ', '\t']) {
        causes::COLON
    } else if rest.trim_start_matches(' ').starts_with('\t') {
        causes::TAB
    } else if pasted::has_no_token(token) {
        causes::NO_TOKEN_TEXT
    } else if !token.starts_with(['"', '\'', '`']) && is_wrapped(token) {
        causes::WRAPPED
    } else if token.starts_with(['"', '\'', '`']) || token.ends_with(['"', '\'', '`']) {
        causes::QUOTED
    } else {
        causes::FOREIGN_CHARACTER
    }
}

/// Whether one token is in brackets or quotes, with or without a name before them: `Some("…")`,
/// `b'…'`, `{"access_token":"…"}`.
fn is_wrapped(text: &str) -> bool {
    let Some(token) = pasted::repaired(text) else {
        return false;
    };
    let (before, after) = text.split_once(token).unwrap_or_default();
    before.ends_with(['"', '\'', '`', '(', '[', '{', '<'])
        && after.starts_with(['"', '\'', '`', ')', ']', '}', '>'])
}

fn of_bare_field(value: &str, error: AuthError) -> Cause {
    let has_scheme = after(value, BEARER).is_some();
    if value.is_empty() || has_scheme && error == AuthError::MalformedAuthorization {
        return causes::NOT_BARE;
    }
    // From here on, the checks are the same as for a token after the scheme
    of_field(&format!("Bearer {value}"), BEARER, error)
}

/// The service may introspect an opaque token, but this command didn't
const UNASKED: Cause = Cause {
    what: "This is an opaque token. The service may ask the issuer about it, and the verdict then depends on the response.",
    fix: "To ask the issuer here too, use --introspect. This sends it the token.",
};

fn not_a_jwt(facts: &Facts<'_>) -> Cause {
    // Base64url of `{"`. Some opaque tokens have dots too, so dots prove nothing.
    let has_json = facts.token.contains("eyJ");
    let is_cut = facts.token.starts_with("ey") && facts.token.ends_with("...");
    if let Some(cause) = other_format(facts.token) {
        return cause;
    }
    match facts.token.matches('.').count() {
        _ if pasted::is_placeholder(facts.token) => causes::UNFILLED,
        _ if facts.token.eq_ignore_ascii_case("bearer") => causes::UNFILLED,
        _ if pasted::has_no_token(facts.token) => causes::NO_TOKEN_TEXT,
        _ if pasted::is_encoded_twice(facts.token) => causes::ENCODED_TWICE,
        _ if is_cut => causes::NOT_WHOLE,
        // the header of every JWE has enc (RFC 7516 section 4.1.2)
        4 if facts.lenient_part(0).get("enc").is_some() => causes::ENCRYPTED,
        _ if has_json => causes::NOT_WHOLE,
        _ if facts.is_unasked => UNASKED,
        _ => causes::OPAQUE,
    }
}

/// Tells malformed tokens from damaged ones. There are errors in the header or the payload that
/// cannot come from damage, so if we see one of those, the issuer must have written the token like
/// this.
fn malformed(facts: &Facts<'_>) -> Advice {
    if pasted::is_placeholder(facts.token) {
        return causes::UNFILLED.into();
    }
    if pasted::has_no_token(facts.token) {
        return causes::NO_TOKEN_TEXT.into();
    }
    if facts.is_unasked && !is_jwt_like(facts.token) {
        return UNASKED.into();
    }
    if let Some(cause) = other_format(facts.token) {
        return cause.into();
    }
    let kid = facts.trace.header.get("kid");
    if facts.failed("header") && kid.is_some_and(|kid| !kid.is_string()) {
        return causes::KID_NOT_TEXT.into();
    }
    if facts.failed("encoding") {
        return causes::RE_ENCODED.into();
    }
    let mut parts = facts.token.split('.');
    for name in ["header", "payload"] {
        let part = parts.next().unwrap_or_default();
        let text = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        let fault = Fault::of(&text);
        if facts.failed(name) && fault.is_of_the_writer() {
            let sentence = format!("In the {name}: {fault}.");
            return Advice::from(causes::NOT_STRICT).and(&sentence);
        }
    }
    if facts.trace.damaged {
        causes::RE_ENCODED.into()
    } else {
        causes::NOT_STRICT.into()
    }
}

/// Recognizes tokens of other formats, which may look like a JWT.
fn other_format(token: &str) -> Option<Cause> {
    let is_paseto = ["v1", "v2", "v3", "v4"].iter().any(|version| {
        let rest = token.strip_prefix(version);
        rest.is_some_and(|rest| rest.starts_with(".public.") || rest.starts_with(".local."))
    });
    if is_paseto {
        return Some(causes::PASETO);
    }
    // a disclosure follows each tilde, and a JWT's signature has no tilde
    (token.starts_with("eyJ") && token.contains('~')).then_some(causes::SD_JWT)
}

fn algorithm(facts: &Facts<'_>) -> Advice {
    let issuer = facts.text("iss").unwrap_or_default();
    let left_out = facts
        .header("kid")
        .and_then(|kid| facts.auth.why_left_out(issuer, kid));
    let name = facts.header("alg").unwrap_or_default();
    if facts.failed("key") && !facts.failed("alg") && !facts.failed("alg for iss") {
        return match left_out {
            Some(reason) => {
                Advice::from(causes::KEY_LEFT_OUT).and(&format!("The reason: {reason}."))
            }
            None => causes::KEY_FOR_ANOTHER.into(),
        };
    }
    match name.parse::<Algorithm>() {
        _ if name.eq_ignore_ascii_case("none") => causes::UNSIGNED.into(),
        Ok(algorithm) if algorithm.is_symmetric() => in_its_words(facts, causes::HS256_API).into(),
        Ok(algorithm) => Advice::from(causes::OTHER_ALGORITHM).with(allowing(facts, algorithm)),
        Err(_) if name.to_ascii_uppercase().parse::<Algorithm>().is_ok() => {
            let right = name.to_ascii_uppercase();
            let sentence = format!("Names are case-sensitive, and the right one is {right}.");
            Advice::from(causes::UNSUPPORTED_ALGORITHM).and(&sentence)
        }
        Err(_) => {
            let names: Vec<_> = Algorithm::ALL.iter().map(ToString::to_string).collect();
            let supported = format!("Supported are {}.", names.join(", "));
            Advice::from(causes::UNSUPPORTED_ALGORITHM).and(&supported)
        }
    }
}

/// The line that also allows `algorithm`. It only helps if a configured issuer signs with it.
fn allowing(facts: &Facts<'_>, algorithm: Algorithm) -> Vec<Setting> {
    if !facts.held("iss") {
        return Vec::new();
    }
    let allowed = facts.config.algorithms.iter().chain([&algorithm]);
    let allowed: Vec<_> = allowed.map(ToString::to_string).collect();
    let setting = Setting::new("AUTH0_ALGORITHMS", allowed.join(","));
    facts.recommend(vec![setting])
}

fn wrong_type(facts: &Facts<'_>) -> Cause {
    let typ = facts.header("typ").unwrap_or_default().to_ascii_lowercase();
    let is_strict = facts.config.token_profile == TokenProfile::Rfc9068;
    match typ.trim_start_matches("application/") {
        "logout+jwt" => causes::LOGOUT_TOKEN,
        "dpop+jwt" => causes::DPOP_PROOF,
        _ if facts.failed("typ, token_use") && !facts.failed("typ") => causes::OTHER_KIND,
        _ if is_strict => causes::NOT_AT_JWT,
        _ => causes::OTHER_TYPE,
    }
}

fn expired(facts: &Facts<'_>) -> Cause {
    let of_date = |name| match facts.trace.step(name) {
        Some(Step {
            expected: StepValue::After(limit, _),
            found: StepValue::Date(date),
            outcome: Err(_),
            ..
        }) => Some((*limit, *date)),
        _ => None,
    };
    let (exp, age) = (of_date("exp"), of_date("age"));
    match (facts.skew, exp.or(age)) {
        (Some(skew), Some((limit, date))) if skew > 0.0 && limit - skew < date => {
            causes::CLOCK_AHEAD
        }
        _ if exp.is_none() => causes::TOO_OLD,
        _ => causes::EXPIRED,
    }
}

/// The year 5138 in seconds. Current dates in milliseconds are larger.
pub(super) const FAR: f64 = 1e11;

fn not_yet(facts: &Facts<'_>) -> Cause {
    let begins = ["nbf", "iat"].map(|name| match facts.trace.step(name) {
        Some(step) if step.outcome.is_err() => match step.found {
            StepValue::Date(date) => date,
            _ => 0.0,
        },
        _ => 0.0,
    });
    let latest = begins[0].max(begins[1]);
    if latest > FAR {
        return causes::MILLISECONDS;
    }
    match facts.skew {
        Some(skew) if facts.auth.time() - skew >= latest - 1.0 => causes::CLOCK_BEHIND,
        // We didn't ask the issuer, so we don't know whose clock is wrong
        None if facts.failed("iat") => causes::ISSUED_LATER,
        _ => causes::NOT_YET,
    }
}

fn missing(facts: &Facts<'_>) -> Cause {
    let claim = facts.config.audience_claim;
    if facts.failed("iss") {
        causes::NO_ISSUER
    } else if claim != AudienceClaim::Aud && facts.failed(claim.as_str()) {
        causes::NO_AUDIENCE_CLAIM
    } else if facts.failed("aud") {
        causes::NO_AUDIENCE
    } else if facts.failed("exp, nbf, iat") {
        causes::NO_EXPIRY
    } else if facts.failed("age") {
        causes::NO_TIME_OF_ISSUE
    } else {
        causes::NOT_RFC9068
    }
}

/// Finds the cause if an introspection response lacks a claim that tokens need.
fn missing_in_answer(facts: &Facts<'_>) -> Advice {
    let claim = facts.config.audience_claim;
    if claim != AudienceClaim::Aud && facts.failed(claim.as_str()) {
        causes::NO_AUDIENCE_CLAIM.into()
    } else if facts.failed("aud") {
        // `client_id` is the client that requested the token, so `AUTH0_API_AUDIENCE` would then
        // list clients
        let setting = Setting::new("AUTH0_AUDIENCE_CLAIM", "client_id");
        let settings = match facts.text("client_id") {
            Some(_) => facts.recommend(vec![setting]),
            None => Vec::new(),
        };
        Advice::from(causes::ANSWER_WITHOUT_AUDIENCE).with(settings)
    } else if facts.failed("age") {
        causes::NO_TIME_OF_ISSUE.into()
    } else {
        causes::ANSWER_WITHOUT_EXPIRY.into()
    }
}

fn proof(facts: &Facts<'_>) -> Advice {
    let mut steps = facts.trace.steps.iter();
    let first = steps.find(|step| step.outcome.is_err());
    match first.map(|step| (step.name, &step.found)) {
        Some(("proof", _)) => causes::PROOF_MISSING.into(),
        Some(("proof htm" | "proof htu", _)) => causes::PROOF_FOR_OTHER_URL.into(),
        Some(("proof iat", StepValue::Words(found))) => {
            Advice::from(causes::PROOF_WITHOUT_TIME).and(&format!("Its iat is {found}."))
        }
        Some(("proof iat", StepValue::Date(date))) if *date > FAR => {
            let sentence = "Its iat is in milliseconds, but RFC 7519 defines seconds.";
            Advice::from(causes::PROOF_TIME).and(sentence)
        }
        Some(("proof iat", _)) => causes::PROOF_TIME.into(),
        Some(("proof ath", _)) => causes::PROOF_FOR_OTHER_TOKEN.into(),
        Some(("proof jti", _)) => causes::PROOF_WITHOUT_ID.into(),
        _ => causes::PROOF_MALFORMED.into(),
    }
}

fn bound(facts: &Facts<'_>) -> Cause {
    if facts.failed("certificate") {
        return causes::MTLS_BOUND;
    }
    if facts.failed("proof key") {
        return causes::OTHER_PROOF_KEY;
    }
    if facts.failed("scheme") {
        return causes::DPOP_AS_BEARER;
    }
    if facts.claim("cnf").is_some_and(Value::is_null) {
        return causes::BOUND_TO_NULL;
    }
    let by = |method: &str| {
        facts
            .claim("cnf")
            .is_some_and(|cnf| cnf.get(method).is_some())
    };
    if by("jkt") {
        causes::DPOP_BOUND
    } else if by("x5t#S256") {
        causes::MTLS_BOUND
    } else {
        causes::BOUND
    }
}

/// Why the keys of the token's issuer are missing, with the same advice as in `check`.
fn no_keys(facts: &Facts<'_>) -> Advice {
    let issuer = facts.text("iss").unwrap_or_default();
    let Some(error) = facts.auth.fetch_error(issuer) else {
        return causes::ISSUER_UNREACHABLE.into();
    };
    if let FetchError::NoKeys(_, NoKeys::NotAllowed { algorithm, .. }) = &error {
        let settings = allowing(facts, *algorithm);
        return Advice::from(causes::KEYS_FOR_OTHER_ALGORITHM)
            .and(&format!("The key is for {algorithm}."))
            .with(settings);
    }
    let is_of_metadata = is_of_metadata(&error, issuer);
    let cause = cause_of_fetch(facts, &error, is_of_metadata);
    if cause == causes::CA_AS_SERVER {
        return cause.into();
    }
    let wanted = match (&error, &facts.config.jwks_uri) {
        (FetchError::NoKeys(..), _) | (_, Some(_)) => Wanted::KeySet,
        _ if !is_of_metadata => Wanted::KeySet,
        _ => Wanted::Metadata,
    };
    let advice = fetch_advice(&error, wanted, &facts.context());
    let mut advice = advice.chars();
    let first = advice.next().map(|first| first.to_ascii_uppercase());
    let advice: String = first.into_iter().chain(advice).collect();
    let sentences = format!("{advice}. warp-bearer check shows each request and its response.");
    let advice = Advice::from(cause).fixed_by(sentences);
    match &error {
        FetchError::NoMetadata(_, fault) => advice.and(&format!("The reason: {fault}.")),
        FetchError::NoJwksUri(_) => advice.and("The reason: it lacks the member jwks_uri."),
        _ => advice,
    }
}

/// Whether an error is about the issuer's metadata, and not about the key set that it leads to.
fn is_of_metadata(error: &FetchError, issuer: &str) -> bool {
    let (FetchError::Status { url, .. }
    | FetchError::Redirect { url, .. }
    | FetchError::Unreachable(url, ..)
    | FetchError::TooLarge(url)
    | FetchError::Coding(url, _)
    | FetchError::NotGzip(url)) = error
    else {
        return true;
    };
    let urls = [probe::metadata_of(issuer), probe::other_metadata_of(issuer)];
    urls.iter().flatten().any(|one| *url == one.into())
}

fn cause_of_fetch(facts: &Facts<'_>, error: &FetchError, is_of_metadata: bool) -> Cause {
    let of_key_set = if facts.config.jwks_file.is_some() {
        causes::NO_KEY_SET_FILE
    } else if facts.config.jwks_uri.is_some() {
        causes::NO_KEY_SET_URI
    } else {
        causes::NO_KEY_SET
    };
    let is_discovered = facts.config.jwks_uri.is_none() && is_of_metadata;
    match error {
        FetchError::WrongIssuer { .. } => causes::NOT_ITS_NAME,
        FetchError::File(..) if facts.config.jwks_file.is_none() => causes::NO_FILE_FOR_FETCH,
        FetchError::NoKeys(..) | FetchError::File(..) | FetchError::JwksUri(..) => of_key_set,
        FetchError::NoMetadata(..) | FetchError::NoJwksUri(_) => causes::BAD_METADATA,
        FetchError::Local { .. } => causes::LOCAL_KEY_SET,
        FetchError::Redirect { .. } => causes::ISSUER_REDIRECTS,
        FetchError::Coding(..) | FetchError::NotGzip(_) | FetchError::TooLarge(_) => {
            causes::ODD_ANSWER
        }
        FetchError::Status { .. } if probe::is_missing(error) => {
            if is_discovered {
                causes::NO_DISCOVERY
            } else {
                of_key_set
            }
        }
        FetchError::Status {
            status, is_page, ..
        } => match status.as_u16() {
            403 if *is_page => causes::ISSUER_DENIES,
            401 | 403 => causes::KEYS_NEED_CREDENTIALS,
            _ => causes::ISSUER_UNREACHABLE,
        },
        FetchError::Unreachable(_, message, Layer::Tls | Layer::Untrusted) => {
            let message = message.to_string();
            let is_ca = ["CaUsedAsEndEntity", "CA:TRUE", "CA certificate"];
            if is_ca.iter().any(|words| message.contains(words)) {
                causes::CA_AS_SERVER
            } else {
                causes::ISSUER_CERTIFICATE
            }
        }
        _ => causes::ISSUER_UNREACHABLE,
    }
}

fn signature(facts: &Facts<'_>) -> Cause {
    let algorithm = facts.header("alg").unwrap_or_default();
    let part = facts.token.rsplit('.').next().unwrap_or_default();
    let signature = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    let length = signature.len();
    let known: Option<Algorithm> = algorithm.parse().ok();
    let is_ecdsa =
        known.is_some_and(|known| known.curve().is_some_and(|curve| curve.starts_with("P-")));
    if is_ecdsa && is_der(&signature) {
        return causes::DER_SIGNATURE;
    }
    if known.is_some_and(|known| length < known.min_signature_len()) {
        return causes::CUT_SIGNATURE;
    }
    if algorithm.starts_with("HS") {
        return if is_secret_encoded(facts) {
            causes::ENCODED_SECRET
        } else {
            causes::OTHER_SECRET
        };
    }
    if facts.text("iss").is_some_and(is_local) {
        return causes::REPLACED_KEY;
    }
    causes::CHANGED
}

/// A DER sequence (X.690), as ECDSA signatures are written outside of JOSE. Signatures of JOSE have
/// the length of two numbers of the curve, which such a sequence never has.
fn is_der(signature: &[u8]) -> bool {
    match signature {
        [0x30, 0x81, length, rest @ ..] | [0x30, length, rest @ ..] => {
            usize::from(*length) == rest.len() && rest.first() == Some(&0x02)
        }
        _ => false,
    }
}

/// Whether the token is signed with a secret whose base64 or hexadecimal form is configured.
fn is_secret_encoded(facts: &Facts<'_>) -> bool {
    let Some(secret) = &facts.config.signing_secret else {
        return false;
    };
    let Some((signed, signature)) = facts.token.rsplit_once('.') else {
        return false;
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let secret = secret.as_bytes().trim_ascii();
    let decoded = [
        STANDARD.decode(secret).ok(),
        STANDARD_NO_PAD.decode(secret).ok(),
        URL_SAFE.decode(secret).ok(),
        URL_SAFE_NO_PAD.decode(secret).ok(),
        hex(secret),
    ];
    decoded
        .into_iter()
        .flatten()
        .any(|secret| Key::secret(&secret).verify(Algorithm::HS256, signed.as_bytes(), &signature))
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_mistake_in_a_field() {
        use AuthError::{MalformedAuthorization, MissingToken, MultipleCredentials};
        const T: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";
        #[rustfmt::skip]
        let rows = [
            ("", MissingToken, causes::NO_FIELD),
            ("<T>", MissingToken, causes::NO_SCHEME),
            ("\"Bearer <T>\"", MissingToken, causes::QUOTED_FIELD),
            ("Bearer<T>", MissingToken, causes::NO_SPACE),
            ("Token <T>", MissingToken, causes::OTHER_SCHEME),
            ("Basic YTpi", MissingToken, causes::OTHER_SCHEME),
            ("undefined", MissingToken, causes::UNFILLED_FIELD),
            ("Bearer", MalformedAuthorization, causes::NOTHING_SENT),
            ("Bearer ${TOKEN}", MalformedAuthorization, causes::UNFILLED),
            ("Bearer {{token}}", MalformedAuthorization, causes::UNFILLED),
            ("Bearer [object Object]", MalformedAuthorization, causes::UNFILLED),
            ("Bearer Bearer <T>", MalformedAuthorization, causes::SCHEME_TWICE),
            ("Bearer: <T>", MalformedAuthorization, causes::COLON),
            ("Bearer=<T>", MalformedAuthorization, causes::COLON),
            ("Bearer\t<T>", MalformedAuthorization, causes::TAB),
            ("Bearer \t<T>", MalformedAuthorization, causes::TAB),
            ("Bearer '<T>'", MalformedAuthorization, causes::QUOTED),
            ("Bearer <T> x", MalformedAuthorization, causes::FOREIGN_CHARACTER),
            ("Bearer Optional(\"<T>\")", MalformedAuthorization, causes::WRAPPED),
            ("Bearer b'<T>'", MalformedAuthorization, causes::WRAPPED),
            ("Bearer {\"access_token\":\"<T>\"}", MalformedAuthorization, causes::WRAPPED),
            ("Bearer ['<T>']", MalformedAuthorization, causes::WRAPPED),
            ("Bearer os.getenv(\"TOKEN\")", MalformedAuthorization, causes::NO_TOKEN_TEXT),
            ("Bearer System.Threading.Tasks.Task`1[System.String]", MalformedAuthorization, causes::NO_TOKEN_TEXT),
            ("Bearer Bearer undefined", MalformedAuthorization, causes::NO_TOKEN_TEXT),
            ("undefined undefined", MissingToken, causes::UNFILLED_FIELD),
            ("Bearer <T>, Bearer <T>", MultipleCredentials, causes::TWO_CREDENTIALS),
        ];
        for (field, error, expected) in rows {
            let cause = of_field(&field.replace("<T>", T), BEARER, error);
            assert_eq!(cause, expected, "{field}");
        }
    }

    #[test]
    fn names_the_first_character_that_no_token_has() {
        for (token, expected) in [
            ("abc d", "The first one is a space, at position 4."),
            (
                "ab\u{200b}c",
                "The first one is U+200B, which is invisible, at position 3.",
            ),
            (
                "\u{201c}ab\u{201d}",
                "The first one is U+201C, a typographic quote, at position 1.",
            ),
            ("ab;", "The first one is ;, at position 3."),
            ("a\u{e9}", "The first one is U+00E9, at position 2."),
        ] {
            assert_eq!(
                foreign_character(token).as_deref(),
                Some(expected),
                "{token}"
            );
        }
        assert_eq!(foreign_character("ab.c_d-e~f+g/h=="), None);
    }

    #[test]
    fn reads_hex() {
        for (text, expected) in [
            ("00ffA5", Some(vec![0, 255, 165])),
            ("0", None),
            ("0g", None),
        ] {
            assert_eq!(hex(text.as_bytes()), expected, "{text}");
        }
    }
}
