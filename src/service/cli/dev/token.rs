//! `dev --token`: a token of the `dev` that runs, for scripts.
//!
//! It finds the issuer by asking the service at LISTEN whose tokens it takes, and asks nobody who is
//! not on this machine.

use std::time::Duration;

use reqwest::{Client, Url, header::CONTENT_TYPE, redirect};
use serde_json::Value;

use crate::{
    auth::{display::ShownText, is_loopback, token::json},
    service::{
        cli::{Failure, dev::CLIENT},
        config::{Door, Vars},
    },
};

/// On this machine; a `dev` that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the token, and on standard error which scopes it was not granted.
pub(in crate::service) async fn run(vars: &Vars, scope: Option<&str>) -> Result<(), Failure> {
    let door = Door::from_vars(vars).map_err(Failure::Config)?;
    let service = format!("http://{}", door.listen);
    let answer = fetch(&service, scope.unwrap_or_default())
        .await
        .map_err(|why| {
            Failure::NoDev(format!(
                "{service}: {why}; start `warp-bearer dev` in another terminal, or set LISTEN to \
                 where it listens"
            ))
        })?;
    let Some(token) = answer["access_token"].as_str() else {
        let why = ShownText::new(&answer.to_string());
        return Err(Failure::NoDev(format!(
            "{service}: its issuer answers {why}"
        )));
    };
    let granted = answer["scope"].as_str().unwrap_or_default();
    let missing = scope.unwrap_or_default().split(' ');
    for scope in missing.filter(|scope| !granted.split(' ').any(|one| one == *scope)) {
        eprintln!(
            "{} is not granted: dev knows read:messages and write:messages",
            ShownText::new(scope)
        );
    }
    println!("{token}");
    Ok(())
}

async fn fetch(service: &str, scope: &str) -> Result<Value, &'static str> {
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(|_| "cannot be asked")?;
    let ready = client.get(format!("{service}/readyz")).send().await;
    let ready = ready.map_err(|_| "nothing answers")?;
    let ready = read(ready).await.ok_or("it is no dev that answers")?;
    let issuer = ready["issuers"][0]["issuer"].as_str();
    let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
    let issuer = issuer
        .filter(|issuer| is_loopback(issuer) && issuer.scheme() == "http")
        .ok_or("it is no dev that answers")?;
    let endpoint = issuer
        .join("oauth/token")
        .map_err(|_| "its issuer has no address")?;
    let (id, secret) = CLIENT;
    let parameters = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", scope),
    ];
    // A form is encoded as a query is (WHATWG URL §5).
    let form = Url::parse_with_params(endpoint.as_str(), parameters);
    let form = form.map_err(|_| "its issuer has no address")?;
    let asked = client
        .post(endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().to_owned());
    let answer = asked
        .send()
        .await
        .map_err(|_| "its issuer does not answer")?;
    read(answer).await.ok_or("its issuer answers no JSON")
}

async fn read(answer: reqwest::Response) -> Option<Value> {
    let answer = answer.bytes().await.ok()?;
    json::value(std::str::from_utf8(&answer).ok()?).ok()
}
