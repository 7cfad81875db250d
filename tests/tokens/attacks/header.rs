//! Header parameters that try to choose the key, the rules or the parser.

use std::{net::TcpListener, thread};

use warp_bearer::{
    auth::{Algorithm, Auth},
    issuer::{Fault, Issuer, SigningKey},
};

use crate::{
    attacks::Target,
    support::{
        raw::Service,
        text::{base64url, quoted, signed_by},
    },
};

/// A server of the attacker, with a key. Tokens name it, but the service must never connect to it.
struct Attacker {
    listener: TcpListener,
    key: SigningKey,
}

impl Attacker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
            key: SigningKey::generate(Algorithm::RS256),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.local_addr().unwrap())
    }

    /// A connection would be in the backlog by now
    fn assert_not_asked(&self) {
        thread::yield_now();
        assert!(self.listener.accept().is_err(), "a connection was made");
    }
}

#[tokio::test]
async fn ignores_keys_in_the_token() {
    let mut target = Target::start().await;
    let attacker = Attacker::start();
    let (jwk, kid) = (
        attacker.key.public_jwk().to_string(),
        quoted(attacker.key.kid()),
    );
    let (keys, pem) = (
        quoted(attacker.url("/jwks.json")),
        quoted(attacker.url("/key.pem")),
    );
    let ours = quoted(target.issuer.key().kid());
    #[rustfmt::skip]
    let rows = [
        ("jwk, its kid",                     "jwk", &*jwk,                  Some(&*kid), "unknown_key"),
        ("jwk, our kid",                     "jwk", &jwk,                   Some(&ours), "bad_signature"),
        ("jwk, no kid",                      "jwk", &jwk,                   None,        "bad_signature"),
        ("jwk is null",                      "jwk", "null",                 None,        "bad_signature"),
        ("jwk as a string",                  "jwk", r#""{}""#,              None,        "bad_signature"),
        ("jku, its kid",                     "jku", &keys,                  Some(&kid),  "unknown_key"),
        ("jku, our kid",                     "jku", &keys,                  Some(&ours), "bad_signature"),
        ("jku, no kid",                      "jku", &keys,                  None,        "bad_signature"),
        ("jku, an array",                    "jku", &format!("[{keys}]"),   Some(&kid),  "unknown_key"),
        ("jku of a file",                    "jku", r#""file:///etc/passwd""#, Some(&kid), "unknown_key"),
        ("x5u, its kid",                     "x5u", &pem,                   Some(&kid),  "unknown_key"),
        ("x5u, our kid",                     "x5u", &pem,                   Some(&ours), "bad_signature"),
        ("x5u, no kid",                      "x5u", &pem,                   None,        "bad_signature"),
        ("x5c, its kid",                     "x5c", r#"["MIIBCgKCAQEA"]"#,  Some(&kid),  "unknown_key"),
        ("x5c, no kid",                      "x5c", r#"["MIIBCgKCAQEA"]"#,  None,        "bad_signature"),
        ("x5c of an address",                "x5c", &format!("[{pem}]"),    None,        "bad_signature"),
        ("x5t, our kid",                     "x5t", r#""AAAA""#,            Some(&ours), "bad_signature"),
        ("a kid that is an address",         "x5t", r#""AAAA""#,            Some(&pem),  "unknown_key"),
        ("an alias of jku",                  "jwks_uri", &keys,             Some(&kid),  "unknown_key"),
        ("a key in another parameter",       "key", &jwk,                   None,        "bad_signature"),
    ];
    for (case, name, value, kid, code) in rows {
        let mut header = target.header().without("kid").with(name, value);
        if let Some(kid) = kid {
            header = header.with("kid", kid);
        }
        let token = signed_by(&attacker.key, header.text(), target.claims().text());
        target.refuses(case, &token, code).await;
    }

    for (case, issuer) in [
        ("iss of the attacker", attacker.url("/")),
        (
            "iss with ours for a user",
            attacker.url("/").replace("http://", "http://127.0.0.1@"),
        ),
    ] {
        let claims = target.claims().with("iss", quoted(issuer));
        let token = signed_by(&attacker.key, target.header().text(), claims.text());
        target.refuses(case, &token, "unknown_issuer").await;
    }
    attacker.assert_not_asked();
}

/// If we followed redirects, anyone who can make the issuer redirect could choose its keys, and an
/// open redirect anywhere on its site would probably do.
#[tokio::test]
async fn does_not_follow_issuer_redirects() {
    type Fail = fn(&Issuer, Fault);

    let (ours, evil) = (
        Issuer::with_algorithm(Algorithm::ES256).await,
        Issuer::with_algorithm(Algorithm::ES256).await,
    );
    let discovery = format!("{}.well-known/openid-configuration", evil.url());
    let forged = evil.token().claim("iss", ours.url()).sign();
    let rows: [(&str, Fail, &str); 3] = [
        ("of the key set", Issuer::fail_jwks, evil.jwks_uri()),
        ("of discovery", Issuer::fail_discovery, &discovery),
        ("of both", Issuer::fail, evil.jwks_uri()),
    ];
    for (case, fail, address) in rows {
        let fault = Fault::Redirect(address.to_owned());
        ours.recover();
        fail(&ours, fault);
        let auth = Auth::builder()
            .issuer(ours.url())
            .audience(ours.audience())
            .algorithms([Algorithm::ES256])
            .build()
            .unwrap();
        let service = Service::start(&auth).await;
        let answer = service.client().await.with_token(&forged).await;
        answer.assert_is_problem(case, 503, "keys_unavailable");
        let asked = evil.requests();
        assert_eq!((asked.discovery, asked.jwks), (0, 0), "{case}");
    }
}

#[tokio::test]
async fn treats_kid_only_as_a_name() {
    let mut target = Target::start().await;
    let attacker = Attacker::start();
    let kid = target.issuer.key().kid().to_owned();
    #[rustfmt::skip]
    let rows = [
        ("a path",                     quoted("../../../../../../dev/null"),                       "unknown_key"),
        ("a path of Windows",          quoted(r"..\\..\\windows\\win.ini"),                        "unknown_key"),
        ("an absolute path",           quoted("/proc/self/environ"),                               "unknown_key"),
        ("a device",                   quoted("/dev/random"),                                      "unknown_key"),
        ("a quoted SQL",               quoted("' OR '1'='1"),                                      "unknown_key"),
        ("UNION SELECT",               quoted("x' UNION SELECT 'AA' --"),                          "unknown_key"),
        ("DROP TABLE",                 quoted("'; DROP TABLE keys; --"),                           "unknown_key"),
        ("a shell command",            quoted("$(id)|`id`;id&&id"),                                "unknown_key"),
        ("a template expression",      quoted("{{7*7}}${7*7}<%=7*7%>"),                            "unknown_key"),
        ("a JNDI lookup",              quoted("${jndi:ldap://127.0.0.1/a}"),                       "unknown_key"),
        ("an address",                 quoted(attacker.url("/key")),                               "unknown_key"),
        ("an address of a file",       quoted("file:///dev/null"),                                 "unknown_key"),
        ("an address of metadata",     quoted("http://169.254.169.254/latest/meta-data/"),         "unknown_key"),
        ("an XML entity",              quoted("<!ENTITY x SYSTEM 'file:///etc/passwd'>"),          "unknown_key"),
        ("only a NUL",                 quoted("\\u0000"),                                          "unknown_key"),
        ("ours and a NUL",             quoted(format!("{kid}\\u0000")),                            "unknown_key"),
        ("ours, a NUL and more",       quoted(format!("{kid}\\u0000x")),                           "unknown_key"),
        ("ours and a space",           quoted(format!("{kid} ")),                                  "unknown_key"),
        ("a space and ours",           quoted(format!(" {kid}")),                                  "unknown_key"),
        ("ours twice",                 quoted(format!("{kid}{kid}")),                              "unknown_key"),
        ("ours, shortened",            quoted(&kid[1..]),                                          "unknown_key"),
        ("ours, case swapped",         quoted(swap_case(&kid)),                                    "unknown_key"),
        ("a line and a field",         quoted("x\\r\\nSet-Cookie: a=b"),                           "unknown_key"),
        ("a line of a log",            quoted("x\\n2030-01-01 INFO all is well"),                  "unknown_key"),
        ("an escape of a terminal",    quoted("\\u001b[2J\\u001b]0;x\\u0007"),                     "unknown_key"),
        ("right to left",              quoted("\\u202egpj.yek"),                                   "unknown_key"),
        ("a quote",                    quoted("a\\\"b"),                                           "unknown_key"),
        ("a format string",            quoted("%s%s%s%n{}{0}"),                                    "unknown_key"),
        ("a prototype",                quoted("__proto__"),                                        "unknown_key"),
        ("a constructor",              quoted("constructor"),                                      "unknown_key"),
        ("nothing",                    quoted(""),                                                 "unknown_key"),
        ("a kibibyte",                 quoted("k".repeat(1024)),                                   "unknown_key"),
        ("as long as allowed",         quoted("k".repeat(11 * 1024)),                              "unknown_key"),
        ("a number",                   "1".to_owned(),                                             "token_malformed"),
        ("null",                       "null".to_owned(),                                          "token_malformed"),
        ("true",                       "true".to_owned(),                                          "token_malformed"),
        ("an array of ours",           format!("[\"{kid}\"]"),                                     "token_malformed"),
        ("an object",                  r#"{"$ne":""}"#.to_owned(),                                 "token_malformed"),
    ];
    for (case, kid, code) in rows {
        let header = target.header().with("kid", kid);
        let token = target.sign(&header, &target.claims());
        target.refuses(case, &token, code).await;
    }
    attacker.assert_not_asked();
}

fn swap_case(text: &str) -> String {
    let swap = |c: char| {
        if c.is_ascii_lowercase() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        }
    };
    text.chars().map(swap).collect()
}

#[tokio::test]
async fn rejects_every_header_extension() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let rows = [
        ("crit names a claim",         r#""crit":["exp"],"exp":4102444800"#),
        ("crit, empty",                r#""crit":[]"#),
        ("crit names an absent parameter",  r#""crit":["nobody"]"#),
        ("crit names known parameters", r#""crit":["alg","kid","typ"]"#),
        ("crit names crit",            r#""crit":["crit"]"#),
        ("crit names an empty name",   r#""crit":[""]"#),
        ("crit names exp twice",       r#""crit":["exp","exp"],"exp":1"#),
        ("RFC 7515 appendix E",        r#""crit":["http://example.invalid/UNDEFINED"],"http://example.invalid/UNDEFINED":true"#),
        ("crit null",                  r#""crit":null"#),
        ("crit false",                 r#""crit":false"#),
        ("crit a string",              r#""crit":"exp""#),
        ("crit a number",              r#""crit":0"#),
        ("crit an object",             r#""crit":{"exp":true}"#),
        ("crit of numbers",            r#""crit":[1]"#),
        ("crit escaped",               r#""cr\u0069t":["exp"]"#),
        ("b64 false and critical",     r#""b64":false,"crit":["b64"]"#),
        ("b64 false",                  r#""b64":false"#),
        ("b64 true",                   r#""b64":true"#),
        ("b64 true and critical",      r#""b64":true,"crit":["b64"]"#),
        ("b64 null",                   r#""b64":null"#),
        ("b64 a string",               r#""b64":"false""#),
        ("b64 a number",               r#""b64":0"#),
        ("b64 escaped",                r#""b\u00364":false"#),
    ];
    for (case, members) in rows {
        let header = target.header().text();
        let header = format!("{},{members}}}", header.strip_suffix('}').unwrap());
        let token = target.sign_text(header, target.claims().text());
        target
            .refuses(case, &token, "unsupported_critical_header")
            .await;
    }
}

/// With RFC 7797, the payload in a token is not encoded. We accept only base64url.
#[tokio::test]
async fn rejects_unencoded_payloads() {
    let mut target = Target::start().await;
    let header = target
        .header()
        .with("b64", "false")
        .with("crit", r#"["b64"]"#);
    let encoded = target.sign_text(header.text(), "{}");
    let (header, _) = encoded.split_once('.').unwrap();
    let input = format!("{header}.alice");
    let signature = base64url(target.issuer.sign_input(&input));
    let token = format!("{input}.{signature}");
    target.refuses("as text", &token, "token_malformed").await;
}

#[tokio::test]
async fn rejects_tokens_of_another_type() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let types = [
        ("a logout token",             r#""logout+jwt""#),
        ("a DPoP proof",               r#""dpop+jwt""#),
        ("a security event",           r#""secevent+jwt""#),
        ("a refresh token",            r#""rt+jwt""#),
        ("an ID token, as some do",    r#""id+jwt""#),
        ("a request object",           r#""oauth-authz-req+jwt""#),
        ("an introspection",           r#""token-introspection+jwt""#),
        ("a client's assertion",       r#""client-authentication+jwt""#),
        ("a key binding",              r#""kb+jwt""#),
        ("a selective disclosure",     r#""dc+sd-jwt""#),
        ("an entity statement",        r#""entity-statement+jwt""#),
        ("a status list",              r#""statuslist+jwt""#),
        ("JWS in general",             r#""JOSE""#),
        ("JWS in JSON",                r#""JOSE+JSON""#),
        ("JWE",                        r#""JWE""#),
        ("the media type of JWT",      r#""application/jwt""#),
        ("with a parameter",           r#""at+jwt; v=1""#),
        ("with a space",               r#""at+jwt ""#),
        ("with a NUL",                 r#""JWT\u0000""#),
        ("in another tree",            r#""text/at+jwt""#),
        ("the prefix twice",           r#""application/application/at+jwt""#),
        ("full width",                 r#""\uff2a\uff37\uff34""#),
        ("nothing",                    r#""""#),
        ("null",                       "null"),
        ("a number",                   "1"),
        ("true",                       "true"),
        ("an array",                   r#"["JWT"]"#),
        ("an object",                  r#"{"typ":"JWT"}"#),
    ];
    for (case, typ) in types {
        let header = target.header().with("typ", typ);
        let token = target.sign(&header, &target.claims());
        target.refuses(case, &token, "wrong_token_type").await;
    }
}

/// Of two members with the same name, some parsers use the first and some the last (RFC 7515 §4),
/// so we might verify one header while another parser sees the other.
#[tokio::test]
async fn rejects_duplicate_header_parameters() {
    let mut target = Target::start().await;
    let kid = quoted(target.issuer.key().kid());
    #[rustfmt::skip]
    let rows = [
        ("alg, the same",              "alg",          r#""RS256""#),
        ("alg, none",                  "alg",          r#""none""#),
        ("alg, an HMAC",               "alg",          r#""HS256""#),
        ("alg, escaped",               r"\u0061lg",    r#""none""#),
        ("alg, fully escaped",         r"\u0061\u006c\u0067", r#""RS256""#),
        ("kid, the same",              "kid",          &*kid),
        ("kid, another",               "kid",          r#""other""#),
        ("kid, null",                  "kid",          "null"),
        ("kid, escaped",               r"ki\u0064",    &kid),
        ("typ, the same",              "typ",          r#""JWT""#),
        ("typ, another",               "typ",          r#""at+jwt""#),
        ("typ, escaped",               r"t\u0079p",    r#""JWT""#),
    ];
    for (case, name, value) in rows {
        for position in 0..=target.header().members() {
            let header = target.header().at(position, name, value);
            let token = target.sign(&header, &target.claims());
            let case = format!("{case}, at {position}");
            target.refuses(&case, &token, "token_malformed").await;
        }
    }
    #[rustfmt::skip]
    let deeper = [
        ("crit twice",                 r#""crit":["exp"],"crit":["exp"]"#),
        ("b64 twice",                  r#""b64":true,"b64":false"#),
        ("a meaningless member",       r#""x":1,"x":1"#),
        ("an empty name",              r#""":1,"":1"#),
        ("within an object",           r#""x":{"a":1,"a":1}"#),
        ("within a jwk",               r#""jwk":{"kty":"RSA","kty":"oct"}"#),
        ("within an array",            r#""x":[0,{"a":1,"a":1}]"#),
        ("deeply nested",              r#""x":{"x":{"x":{"x":[[[{"a":1,"\u0061":1}]]]}}}"#),
        ("a surrogate pair, escaped",  r#""\ud83d\ude00":1,"😀":1"#),
    ];
    for (case, members) in deeper {
        let header = target.header().text();
        let header = format!("{},{members}}}", header.strip_suffix('}').unwrap());
        let token = target.sign_text(header, target.claims().text());
        target.refuses(case, &token, "token_malformed").await;
    }
}

/// With `raw_value` or `arbitrary_precision`, `serde_json` reads these names as another document or
/// as a number, so the same header would mean two things in two builds.
#[tokio::test]
async fn rejects_names_of_the_json_library() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let rows = [
        ("a header in a string",       r#""$serde_json::private::RawValue":"{}""#),
        ("escaped",                    r#""\u0024serde_json::private::RawValue":"{}""#),
        ("a value in a string",        r#""x":{"$serde_json::private::RawValue":"[1]"}"#),
        ("in an array",                r#""x":[{"$serde_json::private::RawValue":"1"}]"#),
        ("a number",                   r#""x":{"$serde_json::private::Number":"1"}"#),
        ("a number, escaped",          r#""x":{"$serde_json::private::Numbe\u0072":"1"}"#),
    ];
    for (case, members) in rows {
        let header = target.header().text();
        let header = format!("{},{members}}}", header.strip_suffix('}').unwrap());
        let token = target.sign_text(header, target.claims().text());
        target.refuses(case, &token, "token_malformed").await;

        let claims = target.claims().text();
        let claims = format!("{},{members}}}", claims.strip_suffix('}').unwrap());
        let token = target.sign_text(target.header().text(), claims);
        let case = format!("{case}, as a claim");
        target.refuses(&case, &token, "token_malformed").await;
    }
}

/// Names are case-sensitive (RFC 7515 §4.1.1, RFC 8259 §8.3).
#[tokio::test]
async fn header_names_are_case_sensitive() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let names = [
        ("Alg", "Alg"),
        ("ALG", "ALG"),
        ("aLG", "aLG"),
        ("a space after the name", "alg "),
        ("a NUL after the name", r"alg\u0000"),
        ("full width", r"\uff41\uff4c\uff47"),
    ];
    for (case, name) in names {
        let header = target.header().without("alg").with(name, r#""RS256""#);
        let token = target.sign(&header, &target.claims());
        target.refuses(case, &token, "algorithm_not_allowed").await;
    }
}
