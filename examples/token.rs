//! `just token`: prints the issuer's JSON response with an access token from the tenant in `.env`.
//! `just token --raw` prints only the token.
//!
//! Sends the tutorial's client credentials request. Reads the environment and `.env` as the
//! service does, and never puts the secret on a command line, where other users of the machine
//! could read it.

use std::{collections::HashMap, env, error::Error, iter, process::ExitCode};

use reqwest::{Client, header::CONTENT_TYPE, redirect};
use serde_json::{Value, json};
use warp_bearer::service::config::{Config, Environment};

#[tokio::main]
async fn main() -> ExitCode {
    let is_raw = match env::args().nth(1).as_deref() {
        None => false,
        Some("--raw") => true,
        Some(other) => {
            eprintln!(
                "{other}: give --raw to print only the token, or no option to print the whole answer"
            );
            return ExitCode::FAILURE;
        }
    };
    let answer = match Environment::read() {
        Ok(environment) => {
            // The service only warns about a mistake in the ID or the secret of the client.
            for warning in environment.warnings() {
                eprintln!("{warning}");
            }
            token(environment).await
        }
        Err(faults) => Err(faults.to_string()),
    };
    match answer {
        Ok(answer) if is_raw => {
            let Some(token) = answer["access_token"].as_str() else {
                eprintln!("the answer has no access_token: {answer}");
                return ExitCode::FAILURE;
            };
            println!("{token}");
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the token endpoint's response. The error says what the user has to fix.
async fn token(vars: impl IntoIterator<Item = (String, String)>) -> Result<Value, String> {
    let vars: HashMap<String, String> = vars.into_iter().collect();
    complete(&vars)?;
    let (config, _) = Config::from_variables(vars.clone()).map_err(|faults| faults.to_string())?;

    let issuer = &config.issuers[0];
    let metadata = format!(
        "{}/.well-known/openid-configuration",
        issuer.strip_suffix('/').unwrap_or(issuer)
    );
    let client = client(issuer)?;
    let metadata = read(&metadata, client.get(&metadata)).await?;
    let endpoint = metadata["token_endpoint"].as_str();
    let endpoint = endpoint.ok_or_else(|| format!("{issuer} names no token_endpoint"))?;

    let credentials = json!({
        "grant_type": "client_credentials",
        "client_id": vars["AUTH0_CLIENT_ID"],
        "client_secret": vars["AUTH0_CLIENT_SECRET"],
        "audience": config.audiences[0],
    });
    let request = client
        .post(endpoint)
        .header(CONTENT_TYPE, "application/json")
        .body(credentials.to_string());
    read(endpoint, request).await
}

fn complete(vars: &HashMap<String, String>) -> Result<(), String> {
    #[rustfmt::skip]
    let rows = [
        ("AUTH0_DOMAIN", "the host of your tenant"),
        ("AUTH0_API_AUDIENCE", "the identifier of your API"),
        ("AUTH0_CLIENT_ID", "the client ID of an application that may call it"),
        ("AUTH0_CLIENT_SECRET", "its client secret"),
    ];
    let set = |name: &str| {
        let value = vars.get(name).map_or("", |value| value.trim());
        !value.is_empty() && !value.starts_with('<')
    };
    let has = |name: &str| set(name) || name == "AUTH0_DOMAIN" && set("AUTH0_ISSUER");
    let missing: Vec<_> = rows
        .into_iter()
        .filter(|(name, _)| !has(name))
        .map(|(name, meaning)| format!("{name} to {meaning}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("set in .env: {}", missing.join(", ")))
}

/// Uses the service's settings: no redirects, and no proxy for loopback.
fn client(issuer: &str) -> Result<Client, String> {
    let mut client = Client::builder().redirect(redirect::Policy::none());
    if issuer.starts_with("http:") {
        client = client.no_proxy();
    }
    client.build().map_err(|error| error.to_string())
}

async fn read(url: &str, request: reqwest::RequestBuilder) -> Result<Value, String> {
    let unreachable = |error| format!("{url} cannot be reached: {}", chain(&error));
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let body = answer.text().await.map_err(unreachable)?;
    if !status.is_success() {
        return Err(format!("{url} answered {status}: {}", body.trim()));
    }
    serde_json::from_str(&body).map_err(|_| format!("{url} did not answer with JSON"))
}

/// Formats an error with its causes. Usually only the last one says what really happened.
fn chain(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use warp_bearer::{
        auth::{Algorithm, Auth, Claims},
        issuer::Issuer,
    };

    use super::*;

    const NAMES: [&str; 4] = [
        "AUTH0_ISSUER",
        "AUTH0_API_AUDIENCE",
        "AUTH0_CLIENT_ID",
        "AUTH0_CLIENT_SECRET",
    ];

    fn vars(values: [&str; 4]) -> Vec<(String, String)> {
        let pairs = NAMES.iter().zip(values);
        pairs
            .map(|(name, value)| ((*name).to_owned(), value.to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn service_accepts_the_token() {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let (id, secret) = (issuer.client_id(), issuer.client_secret());
        let answer = token(vars([issuer.url(), issuer.audience(), id, secret])).await;
        let answer = answer.unwrap();
        assert_eq!(answer["token_type"], "Bearer");

        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
            .build()
            .unwrap();
        auth.ready().await;
        let claims: Claims = auth
            .verify(answer["access_token"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(claims.subject(), Some(&*format!("{id}@clients")));
    }

    #[tokio::test]
    async fn missing_settings_are_one_line_with_advice() {
        let (issuer, audience) = ("http://127.0.0.1:9/", "https://api.example.com");
        let all = "set in .env: AUTH0_DOMAIN to the host of your tenant, AUTH0_API_AUDIENCE to the \
                   identifier of your API, AUTH0_CLIENT_ID to the client ID of an application that \
                   may call it, AUTH0_CLIENT_SECRET to its client secret";
        let secret = "set in .env: AUTH0_CLIENT_SECRET to its client secret";
        for (case, values, expected) in [
            ("all", ["", "", "", ""], all),
            ("the secret", [issuer, audience, "id", ""], secret),
            ("blanks", [issuer, audience, "id", "  "], secret),
            (
                "a placeholder",
                [issuer, audience, "id", "<client-secret>"],
                secret,
            ),
        ] {
            assert_eq!(token(vars(values)).await.unwrap_err(), expected, "{case}");
        }
        let wrong = token(vars(["your.domain.auth0.com", audience, "id", "secret"])).await;
        assert!(wrong.unwrap_err().starts_with("AUTH0_ISSUER: found"));
    }

    #[tokio::test]
    async fn issuer_failures_are_one_line() {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let vars = vars([issuer.url(), issuer.audience(), "id", "secret"]);
        let refused = token(vars.clone()).await.unwrap_err();
        assert!(refused.contains("answered 401 Unauthorized"), "{refused}");
        issuer.go_down().await;
        let down = token(vars).await.unwrap_err();
        assert!(down.contains("cannot be reached"), "{down}");
        assert!(
            down.contains("Connection refused"),
            "the last cause: {down}"
        );
        for error in [refused, down] {
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
