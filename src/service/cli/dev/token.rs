//! `dev --token`: prints a token from the running `dev`, for scripts.
//!
//! We find the issuer with `/readyz` of the service at `LISTEN`, and only connect to loopback
//! addresses.

use std::time::Duration;

use reqwest::{Client, Url, header::CONTENT_TYPE, redirect};
use serde_json::Value;

use crate::{
    auth::{display::ShownText, is_loopback, token::json},
    issuer::SigningKey,
    service::{
        cli::{failure::Failure, terminal},
        config::{Environment, ServiceAddress},
    },
};

/// A `dev` on this machine normally responds immediately
const TIMEOUT: Duration = Duration::from_secs(5);

/// Also warns about requested words that aren't valid scopes.
pub(in crate::service) async fn run(
    environment: &Environment,
    client: (&str, &str),
    scope: Option<&str>,
    bound_to: Option<&SigningKey>,
) -> Result<(), Failure> {
    let service = ServiceAddress::from_environment(environment).map_err(Failure::Config)?;
    let service = format!("http://{}", service.listen);
    let answer = fetch(&service, client, scope.unwrap_or_default(), bound_to)
        .await
        .map_err(|why| {
            Failure::NoDev(format!(
                "{service}: {why}; start `warp-bearer dev` in another terminal, or set LISTEN to \
                 its address"
            ))
        })?;
    let Some(token) = answer["access_token"].as_str() else {
        let why = ShownText::new(&answer.to_string());
        return Err(Failure::NoDev(format!(
            "{service}: its issuer answered {why}"
        )));
    };
    let granted = answer["scope"].as_str().unwrap_or_default();
    let missing = scope.unwrap_or_default().split(' ');
    let missing = missing.filter(|scope| !scope.is_empty());
    for scope in missing.filter(|scope| !granted.split(' ').any(|one| one == *scope)) {
        terminal::note(format_args!(
            "{} was not granted: it is not a valid scope (RFC 6749 §3.3)",
            ShownText::new(scope)
        ));
    }
    terminal::print_line(token)
}

async fn fetch(
    service: &str,
    (client_id, client_secret): (&str, &str),
    scope: &str,
    bound_to: Option<&SigningKey>,
) -> Result<Value, &'static str> {
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|_| "cannot be asked")?;
    let ready = client.get(format!("{service}/readyz")).send().await;
    let ready = ready.map_err(|_| "no server answers")?;
    let ready = read_json(ready)
        .await
        .ok_or("a program other than `warp-bearer dev` answers")?;
    let issuer = ready["issuers"][0]["issuer"].as_str();
    let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
    let issuer = issuer
        .filter(|issuer| is_loopback(issuer) && issuer.scheme() == "http")
        .ok_or("a program other than `warp-bearer dev` answers")?;
    let endpoint = issuer
        .join("oauth/token")
        .map_err(|_| "its issuer has no address")?;
    let parameters = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", client_secret),
        ("scope", scope),
    ];
    // Forms use the same encoding as queries (WHATWG URL §5)
    let form = Url::parse_with_params(endpoint.as_str(), parameters);
    let form = form.map_err(|_| "its issuer has no address")?;
    let proof = bound_to.map(|key| key.proof("POST", endpoint.as_str()).sign());
    let mut request = client
        .post(endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().to_owned());
    if let Some(proof) = proof {
        request = request.header("DPoP", proof);
    }
    let response = request
        .send()
        .await
        .map_err(|_| "its issuer does not answer")?;
    read_json(response)
        .await
        .ok_or("its issuer did not answer with JSON")
}

async fn read_json(response: reqwest::Response) -> Option<Value> {
    let body = response.bytes().await.ok()?;
    json::value(std::str::from_utf8(&body).ok()?).ok()
}
