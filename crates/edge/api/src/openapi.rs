//! The OpenAPI 3.1 document, made from [`ROUTES`] and the types.
//!
//! Paths are not written a second time in attributes: a route and its documentation cannot differ.

use utoipa::OpenApi as _;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Info, License, OpenApi, Ref, Required, Response, Schema};

use crate::problem::PROBLEM_JSON;
use crate::route::{Access, Body, IfMatchRule, Method, Query, ROUTES, Route};

/// The whole document. The checked-in `openapi.json` is its pretty form.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = Components::openapi();
    let mut info = Info::new("Vouchsafe controller", "1");
    info.description = Some(
        "Devices, credentials, policy and journal of one domain. Errors are problem documents \
         (RFC 9457); lists are paged by key; whatever changes has an ETag."
            .to_owned(),
    );
    info.license = Some(License::new("MIT OR Apache-2.0"));
    document.info = info;
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token made by `vouchsafe token create`."))
        .build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
    for route in ROUTES {
        document.paths.add_path_operation(
            route.path,
            vec![http_method(route.method)],
            operation(route),
        );
    }
    document
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    crate::AddGate,
    crate::AddManufacturer,
    crate::AddOwner,
    crate::Announcement,
    crate::Approve,
    crate::BootstrappingKey,
    crate::Checkpoint,
    crate::CheckPolicy,
    crate::Claim,
    crate::ClaimAddress,
    crate::ClaimByUri,
    crate::ClaimedByUri,
    crate::CreatedToken,
    crate::CreateToken,
    crate::Credential,
    crate::Device,
    crate::DeviceCode,
    crate::DppController,
    crate::DryRun,
    crate::DryRunPolicy,
    crate::Gate,
    crate::GateInvitation,
    crate::ImportDevices,
    crate::ImportKeys,
    crate::ImportManifest,
    crate::ImportResult,
    crate::JournalEntry,
    crate::JournalPage,
    crate::Manufacturer,
    crate::Network,
    crate::Owner,
    crate::Page<crate::Announcement>,
    crate::Page<crate::BootstrappingKey>,
    crate::Page<crate::Credential>,
    crate::Page<crate::Device>,
    crate::Page<crate::DeviceCode>,
    crate::Page<crate::Gate>,
    crate::Page<crate::Manufacturer>,
    crate::Page<crate::Network>,
    crate::Page<crate::Owner>,
    crate::Page<crate::Segment>,
    crate::Page<crate::Session>,
    crate::Page<crate::Token>,
    crate::Policy,
    crate::PolicyCheck,
    crate::Problem,
    crate::PutNetwork,
    crate::PutPolicy,
    crate::PutSegment,
    crate::Reasoned,
    crate::Reconfigure,
    crate::Release,
    crate::Released,
    crate::RemoveAddress,
    crate::Revoke,
    crate::ScimDevice,
    crate::ScimError,
    crate::ScimList,
    crate::ScimPatch,
    crate::Segment,
    crate::Session,
    crate::SetTrust,
    crate::SettleKey,
    crate::CallDevice,
    crate::AddCode,
    crate::Site,
    crate::StateClaim,
    crate::Status,
    crate::Token,
    crate::Verification,
)))]
struct Components;

fn operation(route: &Route) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.id))
        .summary(Some(route.summary))
        .tag(route.tag)
        .description(Some(access(route.access)));
    for name in path_parameters(route.path) {
        operation = operation.parameter(path_parameter(name));
    }
    for query in route.query {
        operation = operation.parameter(query_parameter(query));
    }
    match route.if_match {
        IfMatchRule::Ignored => {}
        IfMatchRule::Optional => operation = operation.parameter(if_match(Required::False)),
        IfMatchRule::Required => operation = operation.parameter(if_match(Required::True)),
    }
    if !route.request.is_empty() {
        let mut body = RequestBodyBuilder::new()
            .description(Some(format!("At most {} bytes.", route.body_limit)))
            .required(Some(Required::True));
        for form in route.request {
            body = body.content(form.media_type, content(form));
        }
        operation = operation.request_body(Some(body.build()));
    }
    if route.access != Access::Open {
        operation = operation.security(SecurityRequirement::new(
            "token",
            std::iter::empty::<String>(),
        ));
    }
    operation
        .response(route.status.to_string(), success(route))
        .response("default", problem())
        .build()
}

fn access(access: Access) -> String {
    match access {
        Access::Open => "Needs no token.".to_owned(),
        Access::AnyToken => "Any token.".to_owned(),
        Access::Roles(roles) => {
            let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            format!("Roles: {}.", names.join(", "))
        }
    }
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(plain(Type::String)))
        .build()
}

fn query_parameter(query: &Query) -> Parameter {
    let kind = match query.kind {
        "integer" => Type::Integer,
        "boolean" => Type::Boolean,
        _ => Type::String,
    };
    ParameterBuilder::new()
        .name(query.name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(query.description))
        .schema(Some(plain(kind)))
        .build()
}

fn if_match(required: Required) -> Parameter {
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(
            "The ETag that was read; 412 when it is not the current one.",
        ))
        .schema(Some(plain(Type::String)))
        .build()
}

fn success(route: &Route) -> Response {
    let mut response = ResponseBuilder::new().description(route.summary);
    if let Some(body) = &route.response {
        response = response.content(body.media_type, content(body));
        if body.schema.is_some_and(has_etag) {
            let tag = HeaderBuilder::new()
                .schema(Some(plain(Type::String)))
                .build();
            response = response.header("ETag", tag);
        }
    }
    response.build()
}

fn problem() -> Response {
    ResponseBuilder::new()
        .description("A problem document (RFC 9457).")
        .content(
            PROBLEM_JSON,
            Content::new(Some(Ref::from_schema_name("Problem"))),
        )
        .build()
}

/// The things that have a version.
fn has_etag(schema: &str) -> bool {
    matches!(
        schema,
        "BootstrappingKey" | "Device" | "Gate" | "Manufacturer" | "Network" | "Policy" | "Segment"
    )
}

fn content(body: &Body) -> Content {
    match body.schema {
        Some(name) => Content::new(Some(Ref::from_schema_name(name))),
        None => ContentBuilder::new().build(),
    }
}

fn plain(kind: Type) -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(kind).build())
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}
