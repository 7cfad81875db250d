//! The responses of a row: success, and the possible problems by status.
//!
//! Statuses, codes and bodies come from the library.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::{
    AllOfBuilder, ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Responses,
    ResponsesBuilder,
    example::{Example, ExampleBuilder},
};
use warp::http::StatusCode;

use crate::{
    auth::{AuthError, Problem, problem::body},
    service::api::{
        docs::schemas::{JSON, of, one_of, success, text_header},
        errors::{PAGES, Page},
        route::{Form, RequestBody, Row},
    },
};

const PROBLEM: &str = "application/problem+json";

/// Problems that every row can respond with
const ANYWHERE: [Problem; 5] = [
    Problem::BadHost,
    Problem::UriTooLong,
    Problem::HeadersTooLarge,
    Problem::Internal,
    Problem::RequestTimeout,
];

const WITH_BODY: [Problem; 3] = [
    Problem::PayloadTooLarge,
    Problem::UnsupportedMediaType,
    Problem::InvalidBody,
];

pub(in crate::service) fn answers(row: &Row) -> Responses {
    let mut by_status: BTreeMap<u16, Vec<&Page>> = BTreeMap::new();
    for page in PAGES.iter().filter(|page| codes(row).contains(&page.code)) {
        let status = page.answer().status.as_u16();
        by_status.entry(status).or_default().push(page);
    }
    let mut answers = ResponsesBuilder::new().response("200", success(row.form));
    for (status, pages) in by_status {
        answers = answers.response(status.to_string(), problem(status, &pages, row.form));
    }
    answers.build()
}

fn codes(row: &Row) -> Vec<&'static str> {
    let anywhere = ANYWHERE.iter().map(|problem| problem.code());
    let mut codes: Vec<_> = anywhere.collect();
    if row.template.contains('{') {
        codes.push(Problem::NotFound.code());
    }
    codes.extend(&row.problems);
    if row.reads != RequestBody::Nothing {
        codes.extend(WITH_BODY.iter().map(|problem| problem.code()));
    }
    // the query may be malformed, and may require any scope or permission
    let by_query = row.form == Form::Forwarded;
    if by_query {
        codes.push(Problem::BadRequest.code());
    }
    if let Some(requires) = &row.requires {
        let policy = requires.policy.as_ref();
        let refusals = AuthError::ALL.iter().filter(|error| match error {
            AuthError::InsufficientScope => {
                by_query || policy.is_some_and(|policy| !policy.named_scopes().is_empty())
            }
            AuthError::InsufficientPermissions => {
                by_query || policy.is_some_and(|policy| policy.scopes().is_none())
            }
            _ => true,
        });
        codes.extend(refusals.map(|error| error.code()));
    }
    codes
}

/// With an example body for each code.
fn problem(status: u16, pages: &[&Page], form: Form) -> Response {
    let codes: Vec<_> = pages.iter().map(|page| page.code).collect();
    let challenged = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().property("code", one_of(codes.clone())));
    let examples = codes.iter().map(|code| {
        (
            *code,
            RefOr::Ref(Ref::new(format!("#/components/examples/{code}"))),
        )
    });
    let content = ContentBuilder::new()
        .schema(Some(schema))
        .examples_from_iter(examples)
        .build();
    let when = pages
        .iter()
        .map(|page| format!("`{}`: {}", page.code, page.when));
    let mut response = ResponseBuilder::new()
        .description(when.collect::<Vec<_>>().join("; "))
        .content(PROBLEM, content);
    if challenged {
        response = response.header(
            "WWW-Authenticate",
            text_header("The challenge (RFC 6750 §3)."),
        );
    }
    if form == Form::Readiness && status == StatusCode::SERVICE_UNAVAILABLE {
        response = response.content(JSON, of("Readiness"));
    }
    response.build()
}

#[expect(clippy::disallowed_methods, reason = "the bodies are our own")]
pub(in crate::service) fn catalogue() -> impl Iterator<Item = (&'static str, Example)> {
    PAGES.iter().map(|page| {
        let body: Value = serde_json::from_str(body(page.code))
            .expect("a test checks that every code has a body");
        let example = ExampleBuilder::new()
            .summary(page.answer().detail)
            .value(Some(body));
        (page.code, example.build())
    })
}
