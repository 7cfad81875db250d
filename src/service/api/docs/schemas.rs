//! The successful responses of rows, and the schemas that responses refer to.

use serde_json::{Map, Value};
use utoipa::openapi::{
    ArrayBuilder, Content, Header, HeaderBuilder, Object, ObjectBuilder, OneOfBuilder, Ref,
    Response, ResponseBuilder, Schema, Type, schema::SchemaType,
};

use crate::{
    auth::{AuthError, Problem, problem::body},
    service::api::route::Form,
};

pub(in crate::service) const JSON: &str = "application/json";
pub(in crate::service) const FORM: &str = "application/x-www-form-urlencoded";
const HTML: &str = "text/html";

/// The response with status 200
pub(in crate::service) fn success(form: Form) -> Response {
    let answer = ResponseBuilder::new();
    match form {
        Form::Object => answer.description("An object").content(JSON, any_object()),
        Form::Empty => answer.description("No content"),
        Form::Metadata => answer
            .description("The metadata")
            .content(JSON, any_object()),
        Form::Message => answer
            .description("The message")
            .content(JSON, of("Message")),
        Form::Claims => answer.description("The claims").content(JSON, of("Claims")),
        Form::Forwarded => answer
            .description("The token meets the policy; these fields identify the caller")
            .header(
                "X-Auth-Issuer",
                text_header("`iss`. Empty if a field cannot carry it unchanged."),
            )
            .header(
                "X-Auth-Subject",
                text_header("`sub`. Empty if a field cannot carry it unchanged."),
            )
            .header(
                "X-Auth-Scope",
                text_header("The scopes that the token grants."),
            )
            .header(
                "X-Auth-Claims",
                text_header("The payload as base64url, without padding."),
            ),
        Form::Readiness => answer
            .description("The service has keys of at least one issuer, and is not stopping")
            .content(JSON, of("Readiness")),
        Form::Codes => answer
            .description("The codes, as HTML or JSON depending on `Accept`")
            .content(JSON, Content::new(Some(list("Code"))))
            .content(HTML, Content::new(Some(text()))),
        Form::Code => answer
            .description("The code, as HTML or JSON depending on `Accept`")
            .content(JSON, of("Code"))
            .content(HTML, Content::new(Some(text()))),
        Form::Page => answer
            .description("The page")
            .content(HTML, Content::new(Some(text()))),
        Form::File => ["text/css", "text/javascript", "image/png"]
            .into_iter()
            .fold(answer.description("The file"), |answer, kind| {
                answer.content(kind, Content::new(Some(text())))
            }),
    }
    .build()
}

pub(in crate::service) fn schemas() -> [(&'static str, Schema); 5] {
    let message = object(&[("status", text()), ("msg", text())]);
    let claims = object(&[
        ("iss", text()),
        ("aud", OneOfBuilder::new().item(text()).item(texts()).into()),
        ("exp", number()),
    ]);
    let issuer = object(&[
        ("issuer", text()),
        ("keys", number()),
        ("age_seconds", or_null(Type::Integer)),
        ("next_fetch_seconds", or_null(Type::Integer)),
        ("last_error", or_null(Type::String)),
    ]);
    let readiness = object(&[
        ("ready", truth()),
        ("stopping", truth()),
        ("issuers", ArrayBuilder::new().items(issuer).into()),
        ("state_store", object(&[("ok", truth())]).into()),
    ]);
    let code = object(&[
        ("code", text()),
        ("status", number()),
        ("error", or_null(Type::String)),
        ("detail", text()),
        ("when", text()),
    ]);
    [
        ("Problem", problem()),
        ("Message", message.into()),
        ("Claims", claims.into()),
        ("Readiness", readiness.into()),
        ("Code", code.into()),
    ]
}

/// The schema of a problem's body.
///
/// We derive it from two real bodies, one with `error` and one without, so it always has the
/// members of `auth::problem::ProblemBody`. A member that only one of them has is optional.
fn problem() -> Schema {
    let [with_error, without] =
        [AuthError::TokenExpired.code(), Problem::NotFound.code()].map(problem_members);
    let is_required = |name: &str| without.contains_key(name);
    let members = with_error.iter().map(|(name, value)| {
        let schema = match value {
            Value::Number(_) => number(),
            _ => text(),
        };
        (name.as_str(), schema, is_required(name))
    });
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let object = members.fold(object, |object, (name, schema, is_required)| {
        let object = object.property(name, schema);
        if is_required {
            object.required(name)
        } else {
            object
        }
    });
    object.into()
}

/// Can't fail: a test checks that every code has a body
#[expect(clippy::disallowed_methods, reason = "the bodies are our own")]
fn problem_members(code: &'static str) -> Map<String, Value> {
    serde_json::from_str(body(code)).unwrap_or_default()
}

/// An object without a documented schema
pub(in crate::service) fn any_object() -> Content {
    Content::new(Some(Schema::from(Object::with_type(Type::Object))))
}

/// A form with this field, which is required
pub(in crate::service) fn form(field: &str) -> Content {
    Content::new(Some(Schema::from(object(&[(field, text())]))))
}

/// An object with these members, all of them required
fn object(members: &[(&str, Schema)]) -> ObjectBuilder {
    members.iter().fold(
        ObjectBuilder::new().schema_type(Type::Object),
        |object, (name, schema)| object.property(*name, schema.clone()).required(*name),
    )
}

pub(in crate::service) fn one_of(values: Vec<&'static str>) -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values))
        .into()
}

pub(in crate::service) fn text() -> Schema {
    Object::with_type(Type::String).into()
}

/// Scope tokens separated by single spaces (RFC 6749 §3.3).
pub(in crate::service) fn scope_list() -> Schema {
    text_like(r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$")
}

pub(in crate::service) fn text_like(pattern: &str) -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .into()
}

pub(in crate::service) fn text_header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(text()))
        .description(Some(description))
        .build()
}

fn texts() -> Schema {
    let text = Object::with_type(Type::String);
    ArrayBuilder::new().items(text).into()
}

fn list(name: &str) -> Schema {
    ArrayBuilder::new()
        .items(Ref::from_schema_name(name))
        .into()
}

fn number() -> Schema {
    Object::with_type(Type::Number).into()
}

fn truth() -> Schema {
    Object::with_type(Type::Boolean).into()
}

fn or_null(kind: Type) -> Schema {
    let either = SchemaType::from_iter([kind, Type::Null]);
    ObjectBuilder::new().schema_type(either).into()
}

pub(in crate::service) fn of(name: &str) -> Content {
    Content::new(Some(Ref::from_schema_name(name)))
}
