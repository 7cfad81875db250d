//! The presets of the issuers file. Each should accept its product's documented tokens, and reject
//! those that are often confused with them.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Claims, TrustedIssuer,
        policy::{Policy, permissions, scopes},
    },
    issuer::{Issuer, SigningKey},
    service::config::{Config, IssuerSettings, PRESETS},
};

#[derive(Deserialize)]
struct Shape {
    kind: String,
    /// The other lines of the table in the issuers file.
    table: String,
    source: String,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// The grants that must be found in the token with the preset's options.
    policy: Map<String, Value>,
    wrong: Vec<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    case: String,
    /// The claims that differ. `null` removes a claim.
    change: Map<String, Value>,
    code: String,
}

/// The mistakes that every preset must reject.
#[rustfmt::skip]
fn of_all(shape: &Shape, claim: &str) -> Vec<Wrong> {
    let row = |case: &str, change: Value, code: &str| Wrong {
        case: case.to_owned(),
        change: change.as_object().unwrap().clone(),
        code: code.to_owned(),
    };
    let late = shape.claims["exp"].as_u64().unwrap();
    vec![
        row("another audience", json!({claim: "https://other.example"}), "wrong_audience"),
        row("no audience", json!({claim: null}), "missing_claim"),
        row("another issuer", json!({"iss": "https://other.example/"}), "unknown_issuer"),
        row("no exp", json!({"exp": null}), "missing_claim"),
        row("not yet valid", json!({"nbf": late + 3600}), "token_not_yet_valid"),
        row("bound to a key", json!({"cnf": {"x5t": "AAAA"}}), "token_bound"),
    ]
}

fn shapes() -> Vec<Shape> {
    serde_json::from_str(include_str!("presets.json")).unwrap()
}

/// Reads the table as the service would.
fn settings(shape: &Shape) -> IssuerSettings {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    let text = format!("[[issuer]]\nkind = \"{}\"\n{}\n", shape.kind, shape.table);
    fs::write(&file, text).unwrap();
    let vars = [("ISSUERS_FILE".to_owned(), file.to_str().unwrap().to_owned())];
    let (config, _) = Config::from_variables(vars).unwrap();
    let (mut tables, _) = config.read_issuers_file().unwrap();
    assert_eq!(tables.len(), 1, "{}", shape.kind);
    tables.remove(0)
}

/// Signs with a key for the shape's algorithm. The key is published without `alg`, as some issuers
/// do.
struct Signer {
    issuer: Issuer,
    ec: SigningKey,
}

impl Signer {
    fn key(&self, shape: &Shape) -> SigningKey {
        match shape.header["alg"].as_str() {
            Some("ES256") => self.ec.clone(),
            _ => self.issuer.key(),
        }
    }

    fn auth(&self, shape: &Shape, settings: &IssuerSettings) -> Auth {
        let mut key = self.key(shape).public_jwk();
        key.as_object_mut().unwrap().remove("alg");
        let born = Duration::from_secs(shape.claims["iat"].as_u64().unwrap());
        let issuer = TrustedIssuer::from(settings).jwks(json!({"keys": [key]}).to_string());
        let auth = Auth::builder().issuer(issuer);
        let auth = auth.clock(move || SystemTime::UNIX_EPOCH + born + Duration::from_secs(30));
        auth.build().unwrap()
    }

    fn sign(&self, shape: &Shape, change: &Map<String, Value>) -> String {
        let key = self.key(shape);
        let mut token = self.issuer.token().key(&key);
        // The test issuer would add these. Only the claims of the shape should be in the token.
        for name in [
            "iss", "sub", "aud", "exp", "iat", "azp", "gty", "scope", "jti", "nbf",
        ] {
            token = token.without(name);
        }
        token = token.without_header("typ");
        for (name, value) in &shape.header {
            token = token.header(name, value);
        }
        for (name, value) in &shape.claims {
            token = token.claim(name, value);
        }
        for (name, value) in change {
            token = match value {
                Value::Null => token.without(name),
                value => token.claim(name, value),
            };
        }
        token.sign()
    }
}

fn policy(shape: &Shape) -> Vec<Policy> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let policy = |(kind, value): (&String, &Value)| match kind.as_str() {
        "scope" => scopes(&text(value)),
        "permission" => permissions(&text(value)),
        "role" => Some(role_of(&text(value))),
        "group" => Some(group_of(&text(value))),
        other => panic!("{other}"),
    };
    shape
        .policy
        .iter()
        .map(policy)
        .map(Option::unwrap)
        .collect()
}

fn role_of(name: &str) -> Policy {
    warp_bearer::auth::policy::role(name.to_owned().leak())
}

fn group_of(name: &str) -> Policy {
    warp_bearer::auth::policy::group(name.to_owned().leak())
}

#[tokio::test]
async fn presets_accept_their_tokens_and_reject_common_mistakes() {
    let signer = Signer {
        issuer: Issuer::start().await,
        ec: SigningKey::generate(Algorithm::ES256),
    };
    let mut rows = 0;
    for shape in shapes() {
        let settings = settings(&shape);
        let auth = signer.auth(&shape, &settings);
        let token = signer.sign(&shape, &Map::new());
        let verified: Result<Claims, _> = auth.verify(&token).await;
        let claims = verified.unwrap_or_else(|error| panic!("{}: {error}", shape.kind));
        for policy in policy(&shape) {
            assert_eq!(policy.check(&claims), Ok(()), "{}: {policy:?}", shape.kind);
        }
        rows += 1;

        let claim = settings.audience_claim.unwrap_or_default().as_str();
        let wrong = of_all(&shape, claim);
        for wrong in wrong.iter().chain(&shape.wrong) {
            let token = signer.sign(&shape, &wrong.change);
            let verdict: Result<Claims, _> = auth.verify(&token).await;
            let case = format!("{}: {}", shape.kind, wrong.case);
            let code = match verdict {
                Err(error) => error.code(),
                Ok(claims) => {
                    let mut refused = policy(&shape).into_iter();
                    let refused = refused.find_map(|policy| policy.check(&claims).err());
                    refused
                        .unwrap_or_else(|| panic!("{case}: accepted"))
                        .error
                        .code()
                }
            };
            assert_eq!(code, wrong.code, "{case}");
            rows += 1;
        }
        // the right token, but with an algorithm that the product doesn't use
        let key = SigningKey::generate(Algorithm::ES384);
        let token = signer.issuer.token().key(&key);
        let token = token.claim("iss", &shape.claims["iss"]).sign();
        let verdict: Result<Claims, _> = auth.verify(&token).await;
        let refused = verdict.map(|_| ()).unwrap_err();
        assert_eq!(refused, AuthError::AlgorithmNotAllowed, "{}", shape.kind);
        rows += 1;
    }
    assert!(rows >= 100, "{rows} rows");
}

#[test]
fn every_preset_has_a_shape_and_documentation() {
    let shapes = shapes();
    let shown: Vec<_> = shapes.iter().map(|shape| shape.kind.as_str()).collect();
    let presets: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    assert_eq!(shown, presets);
    assert!(
        shapes
            .iter()
            .all(|shape| shape.source.starts_with("https://"))
    );
}

/// The row should have the options that the preset sets, and its note.
#[test]
fn page_has_a_row_for_each_preset() {
    let page = include_str!("../../docs/issuers-file.md");
    let table = page
        .lines()
        .skip_while(|line| !line.starts_with("| `kind` | `url` |"));
    let rows: Vec<_> = table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(rows.len(), PRESETS.len());
    for (preset, row) in PRESETS.iter().zip(rows) {
        assert!(
            row.starts_with(&format!("| [`{}`]({}) |", preset.name, preset.source)),
            "{row}"
        );
        let note = preset.note.unwrap_or_default();
        assert!(row.ends_with(&format!("| {note} |")), "{row}: {note}");
    }
}
