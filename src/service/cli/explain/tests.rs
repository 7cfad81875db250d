//! The verdict of `explain` equals that of the routes, for any value of the field.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config as Settings, TestRunner},
};
use tower::ServiceExt;
use warp::http::{HeaderValue, Request, header::AUTHORIZATION};

use crate::{
    algorithm::Algorithm,
    auth::policy::scopes,
    issuer::{Issuer, SigningKey},
    service::{
        api::{forward_auth, route::Access, routes::routes},
        cli::{
            auth,
            explain::{
                explanation::{Explanation, Subject, Wanted},
                pasted::Pasted,
            },
        },
        config::{Config, Environment},
    },
};

/// A service and its issuer.
struct World {
    issuer: Issuer,
    environment: Environment,
    config: Config,
    access: Access,
}

/// A response: its status, its code, and the fields that `/auth` adds.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    code: Option<String>,
    identity: BTreeMap<String, String>,
}

impl World {
    async fn start(required: Option<&str>) -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let environment = Environment::of([
            ("AUTH0_ISSUER", issuer.url()),
            ("AUTH0_API_AUDIENCE", issuer.audience()),
            ("AUTH0_ALGORITHMS", "ES256"),
        ]);
        let (mut config, _) = Config::from_environment(&environment).unwrap();
        config.required_scope = required.map(|list| scopes(list).unwrap());
        let access = Access {
            resource_scopes: None,
            auth: auth::builder(&config).build().unwrap(),
            required: config.required_scope.clone(),
            docs: None,
            forward_auth_paths: false,
        };
        access.auth.ready().await;
        Self {
            issuer,
            environment,
            config,
            access,
        }
    }

    /// Sends a request to the real routes.
    async fn answer(&self, path: &str, field: &HeaderValue) -> Answer {
        let body = http_body_util::Full::<Bytes>::default();
        let request = Request::get(path)
            .header(AUTHORIZATION, field)
            .body(body)
            .unwrap();
        let service = warp::service(routes(&self.access, || false));
        let response = service.oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .await
            .unwrap()
            .to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let identity = head
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-auth-"));
        Answer {
            status: head.status.as_u16(),
            code: body["code"]
                .as_str()
                .map(str::to_owned)
                .filter(|_| head.status != 200),
            identity: identity
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
        }
    }

    async fn explain(&self, text: &str, query: Option<&str>) -> Explanation {
        let named = |words: &str, policy| Wanted {
            words: words.to_owned(),
            policy,
        };
        let required = self
            .config
            .required_scope
            .clone()
            .map(|policy| named("required", policy));
        let asked = query.and_then(|query| forward_auth::parse_query(query).ok()?.policy);
        let asked = asked.map(|policy| named("asked", policy));
        let subject = Subject {
            access: &self.access,
            config: &self.config,
            environment: &self.environment,
            wanted: required.into_iter().chain(asked).collect(),
            proxy: query.map(str::to_owned),
            proof: None,
        };
        let pasted = Pasted::read(text).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        subject.explain(pasted, async || None).await
    }
}

fn said(explanation: &Explanation) -> Answer {
    let refusal = explanation.refusal.as_ref();
    assert_eq!(explanation.is_accepted(), refusal.is_none());
    let identity = explanation
        .proxy
        .iter()
        .flat_map(|proxy| proxy.fields.clone());
    Answer {
        status: refusal.map_or(200, |refused| refused.status),
        code: refusal.map(|refused| refused.code.to_owned()),
        identity: identity.collect(),
    }
}

/// Returns valid and invalid tokens of an issuer.
fn tokens(issuer: &Issuer) -> Vec<String> {
    let token = || issuer.token().scope("read:messages a");
    let good = token().sign();
    let middle = good.len() / 2;
    let mut tokens = vec![
        token().scope("a").sign(),
        token().without("scope").permissions(["p"]).sign(),
        token().expired().sign(),
        token().audience("https://other.example").sign(),
        token().claim("iss", "https://other.example/").sign(),
        token()
            .key(&SigningKey::generate(Algorithm::ES256))
            .kid("first")
            .sign(),
        token().header("alg", "none").sign(),
        token().typ("logout+jwt").sign(),
        good[..good.len() - 9].to_owned(),
        good[..middle].to_owned(),
        format!("{good}=="),
        format!("{}{}", &good[..middle], &good[middle + 1..]),
        "a".repeat(17_000),
    ];
    tokens.extend(
        [
            "opaque",
            "undefined",
            "{{token}}",
            "$TOKEN",
            "a,b",
            "YTpi",
            "",
        ]
        .map(str::to_owned),
    );
    // Half of the values have a valid token, so that many are accepted.
    let bad = tokens.len();
    tokens.extend(std::iter::repeat_n(good, bad));
    tokens
}

/// Generates field values: a scheme, a separator, a token and an end, each valid or not.
fn values(tokens: Vec<String>) -> impl Strategy<Value = String> {
    let right = |right: &'static str, wrong: Vec<&'static str>| prop_oneof![4 => Just(right.to_owned()), 1 => select(wrong).prop_map(str::to_owned)];
    let schemes = vec![
        "bearer",
        "BEARER",
        "Bearer Bearer",
        "Bearer:",
        "Basic",
        "Token",
        "DPoP",
        "JWT",
        "",
        "\"Bearer",
        "Bearer,",
        "Bearers",
        "Bear",
        "Authorization: Bearer",
        "token:",
        "TOKEN=",
    ];
    let separators = vec!["  ", "\t", "", ":", " \t", "=", " \"", ", ", "\u{a0}", " '"];
    let ends = vec![
        " ",
        "\"",
        ",",
        ", Bearer x",
        " x",
        "\t",
        ";",
        "=",
        ".",
        "\u{a0}",
        "'",
        "…",
        "\u{feff}",
    ];
    let made = (
        right("Bearer", schemes),
        right(" ", separators),
        select(tokens),
        right("", ends),
    );
    let made = made.prop_map(|(scheme, separator, token, end)| scheme + &separator + &token + &end);
    prop_oneof![9 => made, 1 => "[ -~\t\u{a0}-\u{ff}]{0,40}"]
}

/// Removes the whitespace that hyper removes around a value.
fn as_received(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn settings() -> Settings {
    Settings {
        failure_persistence: None,
        ..Settings::with_cases(700)
    }
}

#[test]
fn k1_verdict_equals_the_services_for_any_field_value() {
    for required in [None, Some("a"), Some("none has it")] {
        let runtime = runtime();
        let world = runtime.block_on(World::start(required));
        let counts = std::cell::RefCell::new(BTreeMap::<Option<String>, usize>::new());
        let mut runner = TestRunner::new(settings());
        let result = runner.run(&values(tokens(&world.issuer)), |value| {
            let value = as_received(&value);
            let field = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            runtime.block_on(async {
                let expected = world.answer("/api/private", &field).await;
                let explanation = world
                    .explain(&format!("Authorization: {value}"), None)
                    .await;
                prop_assert_eq!(said(&explanation), expected, "{:?}", value);
                // A value that begins with the scheme can be explained without the field's name.
                if let Ok(alone) = Pasted::read(value) {
                    let explanation = world.explain(value, None).await;
                    let is_whole = alone.field == value;
                    let is_noted =
                        !alone.notes.is_empty() || !value.contains(' ') || value.starts_with("ey");
                    prop_assert!(is_whole || is_noted, "{:?}", value);
                    let begins = value
                        .get(..7)
                        .is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
                    prop_assert!(is_whole || !begins, "{:?}", value);
                    if is_whole {
                        let expected = world.answer("/api/private", &field).await;
                        prop_assert_eq!(said(&explanation), expected, "{:?} alone", value);
                    }
                }
                *counts
                    .borrow_mut()
                    .entry(said(&explanation).code)
                    .or_default() += 1;
                Ok(())
            })
        });
        result.unwrap_or_else(|why| panic!("{required:?}: {why}"));
        // The values lead to many different verdicts, including acceptance.
        let counts = counts.into_inner();
        let accepted = counts.get(&None).copied().unwrap_or_default();
        assert_eq!(accepted > 60, required != Some("none has it"), "{counts:?}");
        assert!(counts.len() > 9, "{counts:?}");
    }
}

#[test]
fn k1_answer_to_a_proxy_equals_the_services() {
    let queries = [
        "",
        "scope=a",
        "scope=read:messages+a",
        "scope=b",
        "permission=p",
        "scope=a&permission=p",
        "scopes=a",
        "scope=",
        "scope=a&scope=read%3Amessages",
    ];
    for required in [None, Some("a")] {
        let runtime = runtime();
        let world = runtime.block_on(World::start(required));
        let mut runner = TestRunner::new(Settings {
            cases: 300,
            ..settings()
        });
        let strategy = (values(tokens(&world.issuer)), select(queries.to_vec()));
        let result = runner.run(&strategy, |(value, query)| {
            let value = as_received(&value);
            let field = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            runtime.block_on(async {
                let path = if query.is_empty() {
                    "/auth".to_owned()
                } else {
                    format!("/auth?{query}")
                };
                let expected = world.answer(&path, &field).await;
                let explanation = world
                    .explain(&format!("Authorization: {value}"), Some(query))
                    .await;
                prop_assert_eq!(said(&explanation), expected, "{:?} {}", value, query);
                Ok(())
            })
        });
        result.unwrap_or_else(|why| panic!("{required:?}: {why}"));
    }
}
