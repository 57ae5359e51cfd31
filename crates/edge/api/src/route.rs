//! The API as data: every operation with its method, path, roles and bodies.
//!
//! Handlers are mounted on these constants, the OpenAPI document and the client are made from
//! them, and tests walk [`ROUTES`]. A route that is not here does not exist.

use crate::Role;
use Access::{AnyToken, Open, Roles};
use Role::{Admin, Auditor, DeviceLine, Installer, Operator};

/// HTTP methods that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something, or does something.
    Post,
    /// Replaces something.
    Put,
    /// Changes a part of something.
    Patch,
    /// Ends something.
    Delete,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// Any valid token.
    AnyToken,
    /// A valid token with one of these roles.
    Roles(&'static [Role]),
}

/// A body: its media type, and the name of its schema in the OpenAPI document where it is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// The media type.
    pub media_type: &'static str,
    /// The schema's name; `None` for text and bytes.
    pub schema: Option<&'static str>,
}

/// What a route makes of the If-Match header (RFC 9110 §13.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatchRule {
    /// Ignores it.
    Ignored,
    /// Honours it when it is there.
    Optional,
    /// Refuses the request without it (428).
    Required,
}

/// A query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// Its JSON type: `string`, `integer` or `boolean`.
    pub kind: &'static str,
    /// What it does.
    pub description: &'static str,
}

/// One operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The operation's stable name, `snake_case`.
    pub id: &'static str,
    /// What it does, one line.
    pub summary: &'static str,
    /// The method.
    pub method: Method,
    /// The path, with `{id}` for parameters: as axum and OpenAPI write it.
    pub path: &'static str,
    /// The group it is shown in.
    pub tag: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Query parameters.
    pub query: &'static [Query],
    /// The bodies it reads; empty when it reads none.
    pub request: &'static [Body],
    /// The status of success.
    pub status: u16,
    /// The body of success.
    pub response: Option<Body>,
    /// What it makes of If-Match.
    pub if_match: IfMatchRule,
    /// Largest request body it reads, in bytes.
    pub body_limit: usize,
}

/// Largest request body where nothing else is said: 1 MiB.
pub const BODY_LIMIT: usize = 1 << 20;
/// Largest import: 64 MiB, a manifest of some 100,000 devices.
pub const IMPORT_LIMIT: usize = 64 << 20;
/// Media type of a comma-separated import (RFC 4180).
pub const TEXT_CSV: &str = "text/csv";
/// Media type of a manufacturer's signed manifest (RFC 7193).
pub const APPLICATION_CMS: &str = "application/cms";
/// Media type of a SCIM resource (RFC 7644 §3.1).
pub const SCIM_JSON: &str = "application/scim+json";
/// Largest OCSP request: 16 KiB.
pub const OCSP_LIMIT: usize = 16 << 10;
/// Media type of a revocation list (RFC 5280 §4.2.1.13).
pub const PKIX_CRL: &str = "application/pkix-crl";
/// Media type of an OCSP request (RFC 6960 appendix C).
pub const OCSP_REQUEST: &str = "application/ocsp-request";
/// Media type of an OCSP response (RFC 6960 appendix C).
pub const OCSP_RESPONSE: &str = "application/ocsp-response";
/// Media type of the event stream.
pub const EVENT_STREAM: &str = "text/event-stream";

const EVERYBODY_WHO_READS: Access = Roles(&[Admin, Operator, Auditor]);
const SEES_DEVICES: Access = Roles(&[Admin, Operator, Installer, Auditor]);
const BRINGS_DEVICES: Access = Roles(&[Admin, Operator, Installer, DeviceLine]);
const ORDERS_DEVICES: Access = Roles(&[Admin, Operator, Installer, Auditor, DeviceLine]);
const LETS_DEVICES_IN: Access = Roles(&[Admin, Operator, Installer]);
const RUNS_DEVICES: Access = Roles(&[Admin, Operator]);
const ADMIN_ONLY: Access = Roles(&[Admin]);

const LIMIT: Query = Query {
    name: "limit",
    kind: "integer",
    description: "Items at most, 1 to 1000; by default 100.",
};
const AFTER: Query = Query {
    name: "after",
    kind: "string",
    description: "`next` of the page before.",
};
const SINCE: Query = Query {
    name: "since",
    kind: "integer",
    description: "Entries after this position; by default 0, the beginning.",
};
const AFTER_ENTRY: Query = Query {
    name: "after",
    kind: "integer",
    description: "Entries after the one with this `seq`; by default 0, the beginning. At most 10,000 come at once.",
};
const DRY_RUN: Query = Query {
    name: "dry_run",
    kind: "boolean",
    description: "Only say what it would do; change nothing.",
};
const SCIM_QUERY: &[Query] = &[
    Query {
        name: "startIndex",
        kind: "integer",
        description: "The first record, from 1.",
    },
    Query {
        name: "count",
        kind: "integer",
        description: "Records at most, up to 200; 0 only counts.",
    },
    Query {
        name: "filter",
        kind: "string",
        description: "Only those of which this holds: `attribute eq value`, joined by `and`.",
    },
];
const WAIT: Query = Query {
    name: "wait",
    kind: "integer",
    description: "Seconds to wait for gates to confirm, 0 to 30; by default 2.",
};
const SESSION_QUERY: &[Query] = &[
    LIMIT,
    AFTER,
    Query {
        name: "device",
        kind: "string",
        description: "Only those of this device (id).",
    },
    Query {
        name: "gate",
        kind: "string",
        description: "Only those at this gate (name).",
    },
    Query {
        name: "segment",
        kind: "string",
        description: "Only those in this segment (name).",
    },
    Query {
        name: "ended",
        kind: "boolean",
        description: "Only those that have ended, or only those that have not.",
    },
];
const DEVICE_QUERY: &[Query] = &[
    LIMIT,
    AFTER,
    Query {
        name: "state",
        kind: "string",
        description: "Only devices in this state.",
    },
    Query {
        name: "manufacturer",
        kind: "string",
        description: "Only devices of this maker (id).",
    },
    Query {
        name: "serial",
        kind: "string",
        description: "Only devices with this serial number.",
    },
    Query {
        name: "segment",
        kind: "string",
        description: "Only devices in this segment.",
    },
    Query {
        name: "waiting",
        kind: "boolean",
        description: "Only devices that wait for a person.",
    },
];
const CREDENTIAL_QUERY: &[Query] = &[
    LIMIT,
    AFTER,
    Query {
        name: "device",
        kind: "string",
        description: "Only those of this device (id).",
    },
    Query {
        name: "state",
        kind: "string",
        description: "Only those in this state.",
    },
];

const KEY_QUERY: &[Query] = &[
    LIMIT,
    AFTER,
    Query {
        name: "device",
        kind: "string",
        description: "Only those of this device (id).",
    },
    Query {
        name: "conflicts",
        kind: "boolean",
        description: "Only those that are claimed for a second device.",
    },
];

macro_rules! routes {
    ($(#[doc = $summary:literal] $name:ident = $id:literal, $route:expr;)*) => {
        $(
            #[doc = $summary]
            pub const $name: Route = $route.named($id, $summary);
        )*

        /// Every operation of the API.
        pub const ROUTES: &[Route] = &[$($name),*];
    };
}

routes! {
    /// Lists devices.
    LIST_DEVICES = "list_devices", get("/api/v1/devices", "devices", SEES_DEVICES)
        .query(DEVICE_QUERY).replies("Page_Device");
    /// Claims one device.
    CLAIM_DEVICE = "claim_device", post("/api/v1/devices", "devices", BRINGS_DEVICES)
        .reads(&[json("Claim")]).status(201).replies("Device");
    /// Imports devices from a list: JSON or CSV.
    IMPORT_DEVICES = "import_devices", post("/api/v1/imports/devices", "devices", BRINGS_DEVICES)
        .reads(&[json("ImportDevices"), bytes(TEXT_CSV)]).query(&[DRY_RUN]).limit(IMPORT_LIMIT).replies("ImportResult");
    /// Imports devices from a manufacturer's signed manifest; an anchor in it needs the role admin.
    IMPORT_MANIFEST = "import_manifest", post("/api/v1/imports/manifest", "devices", BRINGS_DEVICES)
        .reads(&[json("ImportManifest"), bytes(APPLICATION_CMS)]).query(&[DRY_RUN]).limit(IMPORT_LIMIT).replies("ImportResult");
    /// Shows one device.
    SHOW_DEVICE = "show_device", get("/api/v1/devices/{id}", "devices",
        Roles(&[Admin, Operator, Installer, Auditor, DeviceLine])).replies("Device");
    /// Lets a waiting device in.
    APPROVE_DEVICE = "approve_device", post("/api/v1/devices/{id}/approve", "devices", LETS_DEVICES_IN)
        .reads(&[json("Approve")]).if_match(IfMatchRule::Optional).replies("Device");
    /// Keeps a waiting device out.
    DENY_DEVICE = "deny_device", post("/api/v1/devices/{id}/deny", "devices", LETS_DEVICES_IN)
        .reads(&[json("Reasoned")]).if_match(IfMatchRule::Optional).replies("Device");
    /// Revokes all credentials of a device.
    REVOKE_DEVICE = "revoke_device", post("/api/v1/devices/{id}/revoke", "devices", RUNS_DEVICES)
        .reads(&[json("Revoke")]).query(&[WAIT]).if_match(IfMatchRule::Optional).replies("Device");
    /// Keeps a device apart.
    QUARANTINE_DEVICE = "quarantine_device", post("/api/v1/devices/{id}/quarantine", "devices", RUNS_DEVICES)
        .reads(&[json("Reasoned")]).query(&[WAIT]).if_match(IfMatchRule::Optional).replies("Device");
    /// Lets a quarantined device back.
    RESTORE_DEVICE = "restore_device", post("/api/v1/devices/{id}/restore", "devices", RUNS_DEVICES)
        .reads(&[json("Reasoned")]).query(&[WAIT]).if_match(IfMatchRule::Optional).replies("Device");
    /// Gives a device up for another owner.
    RELEASE_DEVICE = "release_device", post("/api/v1/devices/{id}/release", "devices", RUNS_DEVICES)
        .reads(&[json("Release")]).query(&[WAIT, DRY_RUN]).if_match(IfMatchRule::Optional).replies("Released");
    /// Ends a device's life.
    RETIRE_DEVICE = "retire_device", post("/api/v1/devices/{id}/retire", "devices", RUNS_DEVICES)
        .reads(&[json("Reasoned")]).query(&[WAIT]).if_match(IfMatchRule::Optional).replies("Device");
    /// Means a device for a Wi-Fi network; it gets that when it is configured next.
    RECONFIGURE_DEVICE = "reconfigure_device", post("/api/v1/devices/{id}/reconfigure", "devices", RUNS_DEVICES)
        .reads(&[json("Reconfigure")]).if_match(IfMatchRule::Optional).replies("Device");
    /// Says that a MAC address is a device's; whether it may come in by that is policy's to say.
    CLAIM_ADDRESS = "claim_address", post("/api/v1/devices/{id}/addresses", "devices", BRINGS_DEVICES)
        .reads(&[json("ClaimAddress")]).replies("Device");
    /// Takes a MAC address away from a device.
    REMOVE_ADDRESS = "remove_address", post("/api/v1/devices/{id}/addresses/remove", "devices", RUNS_DEVICES)
        .reads(&[json("RemoveAddress")]).query(&[WAIT]).replies("Device");
    /// States something of a device, or takes a statement back; policy is asked again.
    STATE_CLAIM = "state_claim", post("/api/v1/devices/{id}/claims", "devices", RUNS_DEVICES)
        .reads(&[json("StateClaim")]).replies("Device");
    /// Shows the journal of one device.
    DEVICE_JOURNAL = "device_journal", get("/api/v1/devices/{id}/journal", "journal", SEES_DEVICES)
        .query(&[AFTER_ENTRY]).replies("JournalPage");

    /// Lists manufacturers.
    LIST_MANUFACTURERS = "list_manufacturers", get("/api/v1/manufacturers", "manufacturers", SEES_DEVICES)
        .query(&[LIMIT, AFTER]).replies("Page_Manufacturer");
    /// Adds a manufacturer.
    ADD_MANUFACTURER = "add_manufacturer", post("/api/v1/manufacturers", "manufacturers", ADMIN_ONLY)
        .reads(&[json("AddManufacturer")]).status(201).replies("Manufacturer");
    /// Shows one manufacturer.
    SHOW_MANUFACTURER = "show_manufacturer", get("/api/v1/manufacturers/{id}", "manufacturers", SEES_DEVICES)
        .replies("Manufacturer");
    /// Sets how far a manufacturer is trusted.
    SET_MANUFACTURER_TRUST = "set_manufacturer_trust",
        put("/api/v1/manufacturers/{id}/trust", "manufacturers", ADMIN_ONLY)
        .reads(&[json("SetTrust")]).if_match(IfMatchRule::Required).replies("Manufacturer");

    /// Lists Wi-Fi networks.
    LIST_NETWORKS = "list_networks", get("/api/v1/networks", "wifi", SEES_DEVICES)
        .query(&[LIMIT, AFTER]).replies("Page_Network");
    /// Adds a Wi-Fi network.
    ADD_NETWORK = "add_network", post("/api/v1/networks", "wifi", ADMIN_ONLY)
        .reads(&[json("PutNetwork")]).status(201).replies("Network");
    /// Shows one Wi-Fi network.
    SHOW_NETWORK = "show_network", get("/api/v1/networks/{id}", "wifi", SEES_DEVICES).replies("Network");
    /// Changes a Wi-Fi network; devices keep what they have until they are configured anew.
    PUT_NETWORK = "put_network", put("/api/v1/networks/{id}", "wifi", ADMIN_ONLY)
        .reads(&[json("PutNetwork")]).if_match(IfMatchRule::Required).replies("Network");
    /// Removes a Wi-Fi network that nobody is meant for or has a credential of.
    REMOVE_NETWORK = "remove_network", delete("/api/v1/networks/{id}", "wifi", ADMIN_ONLY)
        .if_match(IfMatchRule::Optional);
    /// Lists the bootstrapping keys of devices.
    LIST_BOOTSTRAPPING_KEYS = "list_bootstrapping_keys", get("/api/v1/bootstrapping-keys", "wifi", SEES_DEVICES)
        .query(KEY_QUERY).replies("Page_BootstrappingKey");
    /// Claims a device by its bootstrapping URI, or adds the key to one that is here.
    CLAIM_BY_URI = "claim_by_uri", post("/api/v1/bootstrapping-keys", "wifi", BRINGS_DEVICES)
        .reads(&[json("ClaimByUri")]).status(201).replies("ClaimedByUri");
    /// Claims many devices by their bootstrapping URIs: JSON or CSV.
    IMPORT_BOOTSTRAPPING_KEYS = "import_bootstrapping_keys",
        post("/api/v1/imports/bootstrapping-keys", "wifi", BRINGS_DEVICES)
        .reads(&[json("ImportKeys"), bytes(TEXT_CSV)]).query(&[DRY_RUN]).limit(IMPORT_LIMIT).replies("ImportResult");
    /// Claims a device as an order system provisions it (RFC 9944).
    CLAIM_BY_SCIM = "claim_by_scim", post("/scim/v2/Devices", "wifi", BRINGS_DEVICES)
        .reads(&[as_json(SCIM_JSON, "ScimDevice")]).status(201).replies_as(as_json(SCIM_JSON, "ScimDevice"));
    /// Lists the devices that order systems have provisioned (RFC 7644 §3.4.2).
    LIST_SCIM_DEVICES = "list_scim_devices", get("/scim/v2/Devices", "wifi", ORDERS_DEVICES)
        .query(SCIM_QUERY).replies_as(as_json(SCIM_JSON, "ScimList"));
    /// Shows a device that an order system has provisioned (RFC 7644 §3.4.1).
    SHOW_SCIM_DEVICE = "show_scim_device", get("/scim/v2/Devices/{id}", "wifi", ORDERS_DEVICES)
        .replies_as(as_json(SCIM_JSON, "ScimDevice"));
    /// Keeps a device out that an order system has provisioned, or lets it in again (RFC 7644 §3.5.2).
    CHANGE_BY_SCIM = "change_by_scim", patch("/scim/v2/Devices/{id}", "wifi", RUNS_DEVICES)
        .reads(&[as_json(SCIM_JSON, "ScimPatch")]).replies_as(as_json(SCIM_JSON, "ScimDevice"));
    /// Says what of SCIM there is here (RFC 7643 §5).
    SHOW_SCIM_CONFIG = "show_scim_config", get("/scim/v2/ServiceProviderConfig", "wifi", ORDERS_DEVICES)
        .replies_as(bytes(SCIM_JSON));
    /// Lists the schemas of SCIM records (RFC 7643 §7).
    LIST_SCIM_SCHEMAS = "list_scim_schemas", get("/scim/v2/Schemas", "wifi", ORDERS_DEVICES)
        .replies_as(bytes(SCIM_JSON));
    /// Shows one schema of SCIM records.
    SHOW_SCIM_SCHEMA = "show_scim_schema", get("/scim/v2/Schemas/{id}", "wifi", ORDERS_DEVICES)
        .replies_as(bytes(SCIM_JSON));
    /// Lists the types of SCIM records (RFC 7643 §6).
    LIST_SCIM_RESOURCE_TYPES = "list_scim_resource_types", get("/scim/v2/ResourceTypes", "wifi", ORDERS_DEVICES)
        .replies_as(bytes(SCIM_JSON));
    /// Shows one type of SCIM records.
    SHOW_SCIM_RESOURCE_TYPE = "show_scim_resource_type",
        get("/scim/v2/ResourceTypes/{id}", "wifi", ORDERS_DEVICES).replies_as(bytes(SCIM_JSON));
    /// Gives a device up that an order system has provisioned (RFC 7644 §3.6).
    RELEASE_BY_SCIM = "release_by_scim", delete("/scim/v2/Devices/{id}", "wifi", RUNS_DEVICES);
    /// Shows one bootstrapping key.
    SHOW_BOOTSTRAPPING_KEY = "show_bootstrapping_key", get("/api/v1/bootstrapping-keys/{id}", "wifi", SEES_DEVICES)
        .replies("BootstrappingKey");
    /// Removes a bootstrapping key; what its device was given stays.
    REMOVE_BOOTSTRAPPING_KEY = "remove_bootstrapping_key",
        delete("/api/v1/bootstrapping-keys/{id}", "wifi", RUNS_DEVICES).if_match(IfMatchRule::Optional);
    /// Settles whose a bootstrapping key is that was claimed for two devices.
    SETTLE_BOOTSTRAPPING_KEY = "settle_bootstrapping_key",
        post("/api/v1/bootstrapping-keys/{id}/settle", "wifi", RUNS_DEVICES)
        .reads(&[json("SettleKey")]).if_match(IfMatchRule::Optional).replies("BootstrappingKey");
    /// Calls a device that listens, and configures it; answers when the exchange is over.
    CALL_DEVICE = "call_device", post("/api/v1/bootstrapping-keys/{id}/call", "wifi", RUNS_DEVICES)
        .reads(&[json("CallDevice")]).replies("BootstrappingKey");
    /// Lists devices that showed themselves and whose keys nobody knows, the latest first.
    LIST_ANNOUNCEMENTS = "list_announcements", get("/api/v1/announcements", "wifi", SEES_DEVICES)
        .query(&[LIMIT]).replies("Page_Announcement");
    /// Says how access points and devices reach the Wi-Fi Easy Connect controller.
    SHOW_DPP_CONTROLLER = "show_dpp_controller", get("/api/v1/dpp/controller", "wifi", SEES_DEVICES)
        .replies("DppController");
    /// Says a code that a device without a label has been told.
    ADD_CODE = "add_code", post("/api/v1/dpp/codes", "wifi", BRINGS_DEVICES)
        .reads(&[json("AddCode")]).status(201).replies("DeviceCode");
    /// Lists the codes that are good now, without the codes.
    LIST_CODES = "list_codes", get("/api/v1/dpp/codes", "wifi", BRINGS_DEVICES)
        .replies("Page_DeviceCode");
    /// Takes a code back.
    REMOVE_CODE = "remove_code", delete("/api/v1/dpp/codes/{id}", "wifi", BRINGS_DEVICES);
    /// Puts another key in force that signs connectors; the one before stays for an overlap.
    REPLACE_SIGNING_KEY = "replace_signing_key", post("/api/v1/dpp/controller/signing-key", "wifi", ADMIN_ONLY)
        .reads(&[json("Reasoned")]).replies("DppController");

    /// Lists segments.
    LIST_SEGMENTS = "list_segments", get("/api/v1/segments", "admission", SEES_DEVICES)
        .query(&[LIMIT, AFTER]).replies("Page_Segment");
    /// Adds a segment.
    ADD_SEGMENT = "add_segment", post("/api/v1/segments", "admission", ADMIN_ONLY)
        .reads(&[json("PutSegment")]).status(201).replies("Segment");
    /// Shows one segment.
    SHOW_SEGMENT = "show_segment", get("/api/v1/segments/{id}", "admission", SEES_DEVICES).replies("Segment");
    /// Changes a segment; gates put that in force at once.
    PUT_SEGMENT = "put_segment", put("/api/v1/segments/{id}", "admission", ADMIN_ONLY)
        .reads(&[json("PutSegment")]).if_match(IfMatchRule::Required).replies("Segment");
    /// Removes a segment that no device and no network is meant for.
    REMOVE_SEGMENT = "remove_segment", delete("/api/v1/segments/{id}", "admission", ADMIN_ONLY)
        .if_match(IfMatchRule::Optional);
    /// Lists gates.
    LIST_GATES = "list_gates", get("/api/v1/gates", "admission", SEES_DEVICES)
        .query(&[LIMIT, AFTER]).replies("Page_Gate");
    /// Adds a gate; the token with which it enrols is shown once.
    ADD_GATE = "add_gate", post("/api/v1/gates", "admission", ADMIN_ONLY)
        .reads(&[json("AddGate")]).status(201).replies("GateInvitation");
    /// Shows one gate.
    SHOW_GATE = "show_gate", get("/api/v1/gates/{id}", "admission", SEES_DEVICES).replies("Gate");
    /// Makes another token for a gate; the one before is good no longer.
    INVITE_GATE = "invite_gate", post("/api/v1/gates/{id}/token", "admission", ADMIN_ONLY)
        .replies("GateInvitation");
    /// Ends trust in a gate: its certificate is revoked, and its link refused.
    REMOVE_GATE = "remove_gate", delete("/api/v1/gates/{id}", "admission", ADMIN_ONLY)
        .if_match(IfMatchRule::Optional);
    /// Lists sessions, as gates report them.
    LIST_SESSIONS = "list_sessions", get("/api/v1/sessions", "admission", SEES_DEVICES)
        .query(SESSION_QUERY).replies("Page_Session");
    /// Shows one session.
    SHOW_SESSION = "show_session", get("/api/v1/sessions/{id}", "admission", SEES_DEVICES).replies("Session");
    /// Ends a session; a device that may come in can begin another.
    END_SESSION = "end_session", post("/api/v1/sessions/{id}/end", "admission", RUNS_DEVICES)
        .reads(&[json("Reasoned")]).query(&[WAIT]).replies("Session");

    /// Shows this domain.
    SHOW_SITE = "show_site", get("/api/v1/site", "site", AnyToken).replies("Site");
    /// Lists owners.
    LIST_OWNERS = "list_owners", get("/api/v1/owners", "site", EVERYBODY_WHO_READS)
        .query(&[LIMIT, AFTER]).replies("Page_Owner");
    /// Adds another owner.
    ADD_OWNER = "add_owner", post("/api/v1/owners", "site", RUNS_DEVICES)
        .reads(&[json("AddOwner")]).status(201).replies("Owner");

    /// Lists credentials.
    LIST_CREDENTIALS = "list_credentials", get("/api/v1/credentials", "credentials", EVERYBODY_WHO_READS)
        .query(CREDENTIAL_QUERY).replies("Page_Credential");
    /// Shows one credential.
    SHOW_CREDENTIAL = "show_credential", get("/api/v1/credentials/{id}", "credentials", EVERYBODY_WHO_READS)
        .replies("Credential");
    /// Revokes one credential.
    REVOKE_CREDENTIAL = "revoke_credential", post("/api/v1/credentials/{id}/revoke", "credentials", RUNS_DEVICES)
        .reads(&[json("Revoke")]).query(&[WAIT]).replies("Credential");

    /// Shows the policy in force.
    SHOW_POLICY = "show_policy", get("/api/v1/policy", "policy", EVERYBODY_WHO_READS).replies("Policy");
    /// Puts a policy in force.
    PUT_POLICY = "put_policy", put("/api/v1/policy", "policy", ADMIN_ONLY)
        .reads(&[json("PutPolicy")]).if_match(IfMatchRule::Required).limit(2 * BODY_LIMIT).replies("Policy");
    /// Reads a policy and says what is wrong with it.
    CHECK_POLICY = "check_policy", post("/api/v1/policy/check", "policy", EVERYBODY_WHO_READS)
        .reads(&[json("CheckPolicy")]).limit(2 * BODY_LIMIT).replies("PolicyCheck");
    /// Says what a policy would change.
    DRY_RUN_POLICY = "dry_run_policy", post("/api/v1/policy/dry-run", "policy", EVERYBODY_WHO_READS)
        .reads(&[json("DryRunPolicy")]).limit(2 * BODY_LIMIT).replies("DryRun");

    /// Shows the journal since a position.
    READ_JOURNAL = "read_journal", get("/api/v1/journal", "journal", EVERYBODY_WHO_READS)
        .query(&[SINCE, LIMIT]).replies("JournalPage");
    /// Verifies every chain of the journal.
    VERIFY_JOURNAL = "verify_journal", post("/api/v1/journal/verify", "journal", EVERYBODY_WHO_READS)
        .replies("Verification");
    /// Shows the newest checkpoint.
    SHOW_CHECKPOINT = "show_checkpoint", get("/api/v1/journal/checkpoint", "journal", EVERYBODY_WHO_READS)
        .replies("Checkpoint");
    /// Signs a checkpoint of all chains now.
    CREATE_CHECKPOINT = "create_checkpoint", post("/api/v1/journal/checkpoint", "journal", EVERYBODY_WHO_READS)
        .status(201).replies("Checkpoint");
    /// Streams journal entries as they are committed; `Last-Event-ID` resumes.
    STREAM_EVENTS = "stream_events", get("/api/v1/events", "journal", EVERYBODY_WHO_READS)
        .query(&[SINCE]).replies_as(bytes(EVENT_STREAM));

    /// Lists tokens.
    LIST_TOKENS = "list_tokens", get("/api/v1/tokens", "tokens", Roles(&[Admin, Auditor]))
        .query(&[LIMIT, AFTER]).replies("Page_Token");
    /// Makes a token; its secret is shown once.
    CREATE_TOKEN = "create_token", post("/api/v1/tokens", "tokens", ADMIN_ONLY)
        .reads(&[json("CreateToken")]).status(201).replies("CreatedToken");
    /// Revokes a token.
    REVOKE_TOKEN = "revoke_token", delete("/api/v1/tokens/{id}", "tokens", ADMIN_ONLY);

    /// The certificate revocation list of this domain (RFC 5280 §5), DER.
    SHOW_CRL = "show_crl", get("/pki/domain.crl", "pki", Open).replies_as(bytes(PKIX_CRL));
    /// Answers an OCSP request (RFC 6960 appendix A).
    ASK_OCSP = "ask_ocsp", post("/pki/ocsp", "pki", Open)
        .reads(&[bytes(OCSP_REQUEST)]).limit(OCSP_LIMIT).replies_as(bytes(OCSP_RESPONSE));
    /// Answers an OCSP request in the path: base64, percent-encoded (RFC 6960 appendix A).
    ASK_OCSP_BY_PATH = "ask_ocsp_by_path", get("/pki/ocsp/{request}", "pki", Open)
        .replies_as(bytes(OCSP_RESPONSE));

    /// Says how the controller is doing.
    SHOW_STATUS = "show_status", get("/api/v1/status", "status", AnyToken).replies("Status");
    /// Shows this document.
    SHOW_OPENAPI = "show_openapi", get("/api/v1/openapi.json", "status", Open)
        .replies_as(bytes("application/json"));
    /// Says whether the process lives.
    HEALTHZ = "healthz", get("/healthz", "status", Open).replies_as(bytes("text/plain"));
    /// Says whether it can do its work; 503 while it cannot.
    READYZ = "readyz", get("/readyz", "status", Open).replies_as(bytes("text/plain"));
    /// Measurements, in the Prometheus text format.
    METRICS = "metrics", get("/metrics", "status", EVERYBODY_WHO_READS).replies_as(bytes("text/plain"));
}

const fn get(path: &'static str, tag: &'static str, access: Access) -> Route {
    Route::new(Method::Get, path, tag, access)
}

const fn post(path: &'static str, tag: &'static str, access: Access) -> Route {
    Route::new(Method::Post, path, tag, access)
}

const fn put(path: &'static str, tag: &'static str, access: Access) -> Route {
    Route::new(Method::Put, path, tag, access)
}

const fn patch(path: &'static str, tag: &'static str, access: Access) -> Route {
    Route::new(Method::Patch, path, tag, access)
}

const fn delete(path: &'static str, tag: &'static str, access: Access) -> Route {
    Route::new(Method::Delete, path, tag, access).status(204)
}

const fn json(schema: &'static str) -> Body {
    Body {
        media_type: "application/json",
        schema: Some(schema),
    }
}

const fn as_json(media_type: &'static str, schema: &'static str) -> Body {
    Body {
        media_type,
        schema: Some(schema),
    }
}

const fn bytes(media_type: &'static str) -> Body {
    Body {
        media_type,
        schema: None,
    }
}

impl Route {
    const fn new(method: Method, path: &'static str, tag: &'static str, access: Access) -> Self {
        Self {
            id: "",
            summary: "",
            method,
            path,
            tag,
            access,
            query: &[],
            request: &[],
            status: 200,
            response: None,
            if_match: IfMatchRule::Ignored,
            body_limit: BODY_LIMIT,
        }
    }

    const fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        self.id = id;
        // A documentation comment begins with the blank after its slashes.
        self.summary = summary.trim_ascii();
        self
    }

    const fn query(mut self, query: &'static [Query]) -> Self {
        self.query = query;
        self
    }

    const fn reads(mut self, request: &'static [Body]) -> Self {
        self.request = request;
        self
    }

    const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    const fn replies(self, schema: &'static str) -> Self {
        self.replies_as(json(schema))
    }

    const fn replies_as(mut self, body: Body) -> Self {
        self.response = Some(body);
        self
    }

    const fn if_match(mut self, rule: IfMatchRule) -> Self {
        self.if_match = rule;
        self
    }

    const fn limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }
}
