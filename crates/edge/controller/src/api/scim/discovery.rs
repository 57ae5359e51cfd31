//! What order systems can ask about this service itself (RFC 7644 §4, RFC 7643 §5 to §7).

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use vouchsafe_api::{Code, Problem, ScimDevice, ScimList, ScimQuery};

use super::super::problem::Failure;
use super::super::request::Asked;
use super::written;

/// The schema of [`service_provider_config`].
const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// The schema of a schema.
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// The schema of a resource type.
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";

pub(in super::super) async fn show_scim_config() -> Result<Response, Failure> {
    let no = json!({ "supported": false });
    let config = json!({
        "schemas": [CONFIG],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": ScimQuery::MAX_COUNT },
        "changePassword": no,
        "sort": no,
        "etag": no,
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "API token",
            "description": "A token of this site in the header Authorization, as Bearer",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": "/scim/v2/ServiceProviderConfig",
        },
    });
    written(StatusCode::OK, &config)
}

pub(in super::super) async fn list_scim_schemas(
    Asked(query): Asked<ScimQuery>,
) -> Result<Response, Failure> {
    list(&query, vec![core(), extension()])
}

pub(in super::super) async fn show_scim_schema(
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let found = [core(), extension()]
        .into_iter()
        .find(|schema| schema.get("id").and_then(Value::as_str) == Some(id.as_str()));
    let schema = found.ok_or_else(|| Problem::not_found("schema", &id))?;
    written(StatusCode::OK, &schema)
}

pub(in super::super) async fn list_scim_resource_types(
    Asked(query): Asked<ScimQuery>,
) -> Result<Response, Failure> {
    list(&query, vec![device()])
}

pub(in super::super) async fn show_scim_resource_type(
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    if id != "Device" {
        return Err(Problem::not_found("resource-type", &id).into());
    }
    written(StatusCode::OK, &device())
}

/// RFC 7644 §4: these lists are whole, and a filter of them is forbidden.
fn list(query: &ScimQuery, resources: Vec<Value>) -> Result<Response, Failure> {
    if query.filter.is_some() {
        return Err(Problem::new(Code::Forbidden, "this list takes no `filter`").into());
    }
    let count = resources.len();
    let list = json!({
        "schemas": [ScimList::SCHEMA],
        "totalResults": count,
        "startIndex": 1,
        "itemsPerPage": count,
        "Resources": resources,
    });
    written(StatusCode::OK, &list)
}

fn device() -> Value {
    json!({
        "schemas": [RESOURCE_TYPE],
        "id": "Device",
        "name": "Device",
        "endpoint": "/Devices",
        "description": "Devices of this site that an order system has provisioned",
        "schema": ScimDevice::CORE,
        "schemaExtensions": [{ "schema": ScimDevice::DPP, "required": true }],
        "meta": {
            "resourceType": "ResourceType",
            "location": "/scim/v2/ResourceTypes/Device",
        },
    })
}

fn core() -> Value {
    let attributes = [
        attribute("displayName", "string", "Name for people; the model").fixed(),
        attribute("active", "boolean", "Whether the device shall be let in").required(),
        attribute(
            "mudUrl",
            "reference",
            "Where its usage description is (RFC 8520)",
        )
        .fixed()
        .case_exact()
        .with("referenceTypes", json!(["external"])),
    ];
    schema(
        ScimDevice::CORE,
        "Device",
        "A device that shall get into the network",
        &attributes,
    )
}

fn extension() -> Value {
    let attributes = [
        attribute("dppVersion", "integer", "Version of the protocol")
            .fixed()
            .required(),
        attribute(
            "bootstrappingMethod",
            "string",
            "How the key was obtained, such as QR",
        )
        .fixed()
        .many(),
        attribute(
            "bootstrapKey",
            "string",
            "The public bootstrapping key: SubjectPublicKeyInfo (DER) in base64",
        )
        .fixed()
        .required()
        .case_exact()
        .with("returned", json!("never"))
        .with("uniqueness", json!("server")),
        attribute("deviceMacAddress", "string", "The radio's address")
            .fixed()
            .with("uniqueness", json!("manufacturer")),
        attribute(
            "classChannel",
            "string",
            "Where it listens: operating class and channel, such as 81/1",
        )
        .fixed()
        .many(),
        attribute("serialNumber", "string", "The serial number on its label").fixed(),
    ];
    schema(
        ScimDevice::DPP,
        "dppExtension",
        "What Wi-Fi Easy Connect needs to know of a device (RFC 9944)",
        &attributes,
    )
}

fn schema(id: &str, name: &str, description: &str, attributes: &[Attribute]) -> Value {
    let attributes: Vec<&Value> = attributes.iter().map(|attribute| &attribute.0).collect();
    json!({
        "schemas": [SCHEMA],
        "id": id,
        "name": name,
        "description": description,
        "attributes": attributes,
        "meta": { "resourceType": "Schema", "location": format!("/scim/v2/Schemas/{id}") },
    })
}

/// One attribute with its characteristics (RFC 7643 §7).
struct Attribute(Value);

fn attribute(name: &str, kind: &str, description: &str) -> Attribute {
    Attribute(json!({
        "name": name,
        "type": kind,
        "multiValued": false,
        "description": description,
        "required": false,
        "caseExact": false,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    }))
}

impl Attribute {
    fn with(mut self, name: &str, value: Value) -> Self {
        if let Some(members) = self.0.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
        self
    }

    /// Said once, when the device is provisioned.
    fn fixed(self) -> Self {
        self.with("mutability", json!("immutable"))
    }

    fn required(self) -> Self {
        self.with("required", json!(true))
    }

    fn case_exact(self) -> Self {
        self.with("caseExact", json!(true))
    }

    fn many(self) -> Self {
        self.with("multiValued", json!(true))
    }
}
