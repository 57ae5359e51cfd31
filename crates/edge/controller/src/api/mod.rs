//! The REST API of `vouchsafe-api`, mounted route by route on its table.
//!
//! 1. [`auth`] reads the bearer token and holds its role against the route's, before the body is read.
//! 2. The handler loads the facts, lets `vouchsafe-fleet` decide, and commits; what it did stands in
//!    the journal under the token's name.
//! 3. The answer is a type of the contract, or a `Problem`.

mod address;
mod auth;
mod checkpoint;
mod credential;
mod device;
pub(crate) mod events;
mod gate;
mod import;
mod journal;
mod key;
mod label;
mod manufacturer;
pub(crate) mod network;
mod policy;
mod problem;
mod release;
mod request;
mod scim;
mod segment;
mod session;
mod sign;
mod site;
mod status;
mod token;
mod wifi;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{MethodFilter, on};
use vouchsafe_api::route::{self, Method, Route};
use vouchsafe_api::{Code, Page, Problem};
use vouchsafe_fleet::Commit;
use vouchsafe_trust::Certificate;

pub(crate) use auth::{Caller, new_secret};

use crate::controller::Controller;
use crate::revocation;

/// All routes.
pub(crate) fn routes(controller: &Controller) -> Router<Controller> {
    let mut router = Router::new();
    macro_rules! mount {
        ($($route:ident => $handler:path;)*) => {
            $(router = mount(router, controller, &route::$route, $handler);)*
        };
    }
    mount! {
        LIST_DEVICES => device::list_devices;
        CLAIM_DEVICE => device::claim_device;
        IMPORT_DEVICES => import::import_devices;
        IMPORT_MANIFEST => import::import_manifest;
        SHOW_DEVICE => device::show_device;
        APPROVE_DEVICE => device::approve_device;
        DENY_DEVICE => device::deny_device;
        REVOKE_DEVICE => device::revoke_device;
        QUARANTINE_DEVICE => device::quarantine_device;
        RESTORE_DEVICE => device::restore_device;
        RELEASE_DEVICE => release::release_device;
        RETIRE_DEVICE => device::retire_device;
        RECONFIGURE_DEVICE => wifi::reconfigure_device;
        CLAIM_ADDRESS => address::claim_address;
        REMOVE_ADDRESS => address::remove_address;
        STATE_CLAIM => address::state_claim;
        DEVICE_JOURNAL => device::device_journal;
        LIST_MANUFACTURERS => manufacturer::list_manufacturers;
        ADD_MANUFACTURER => manufacturer::add_manufacturer;
        SHOW_MANUFACTURER => manufacturer::show_manufacturer;
        SET_MANUFACTURER_TRUST => manufacturer::set_manufacturer_trust;
        LIST_NETWORKS => network::list_networks;
        ADD_NETWORK => network::add_network;
        SHOW_NETWORK => network::show_network;
        PUT_NETWORK => network::put_network;
        REMOVE_NETWORK => network::remove_network;
        LIST_BOOTSTRAPPING_KEYS => key::list_bootstrapping_keys;
        CLAIM_BY_URI => key::claim_by_uri;
        IMPORT_BOOTSTRAPPING_KEYS => import::import_bootstrapping_keys;
        CLAIM_BY_SCIM => scim::claim_by_scim;
        LIST_SCIM_DEVICES => scim::list_scim_devices;
        SHOW_SCIM_DEVICE => scim::show_scim_device;
        CHANGE_BY_SCIM => scim::change_by_scim;
        SHOW_SCIM_CONFIG => scim::show_scim_config;
        LIST_SCIM_SCHEMAS => scim::list_scim_schemas;
        SHOW_SCIM_SCHEMA => scim::show_scim_schema;
        LIST_SCIM_RESOURCE_TYPES => scim::list_scim_resource_types;
        SHOW_SCIM_RESOURCE_TYPE => scim::show_scim_resource_type;
        RELEASE_BY_SCIM => scim::release_by_scim;
        SHOW_BOOTSTRAPPING_KEY => key::show_bootstrapping_key;
        REMOVE_BOOTSTRAPPING_KEY => key::remove_bootstrapping_key;
        SETTLE_BOOTSTRAPPING_KEY => key::settle_bootstrapping_key;
        CALL_DEVICE => key::call_device;
        LIST_ANNOUNCEMENTS => key::list_announcements;
        SHOW_DPP_CONTROLLER => wifi::show_dpp_controller;
        ADD_CODE => wifi::add_code;
        LIST_CODES => wifi::list_codes;
        REMOVE_CODE => wifi::remove_code;
        REPLACE_SIGNING_KEY => wifi::replace_signing_key;
        LIST_SEGMENTS => segment::list_segments;
        ADD_SEGMENT => segment::add_segment;
        SHOW_SEGMENT => segment::show_segment;
        PUT_SEGMENT => segment::put_segment;
        REMOVE_SEGMENT => segment::remove_segment;
        LIST_GATES => gate::list_gates;
        ADD_GATE => gate::add_gate;
        SHOW_GATE => gate::show_gate;
        INVITE_GATE => gate::invite_gate;
        REMOVE_GATE => gate::remove_gate;
        LIST_SESSIONS => session::list_sessions;
        SHOW_SESSION => session::show_session;
        END_SESSION => session::end_session;
        SHOW_SITE => site::show_site;
        LIST_OWNERS => site::list_owners;
        ADD_OWNER => site::add_owner;
        LIST_CREDENTIALS => credential::list_credentials;
        SHOW_CREDENTIAL => credential::show_credential;
        REVOKE_CREDENTIAL => credential::revoke_credential;
        SHOW_POLICY => policy::show_policy;
        PUT_POLICY => policy::put_policy;
        CHECK_POLICY => policy::check_policy;
        DRY_RUN_POLICY => policy::dry_run_policy;
        READ_JOURNAL => journal::read_journal;
        VERIFY_JOURNAL => journal::verify_journal;
        SHOW_CHECKPOINT => checkpoint::show_checkpoint;
        CREATE_CHECKPOINT => checkpoint::create_checkpoint;
        STREAM_EVENTS => events::stream_events;
        LIST_TOKENS => token::list_tokens;
        CREATE_TOKEN => token::create_token;
        REVOKE_TOKEN => token::revoke_token;
        SHOW_CRL => revocation::show_crl;
        ASK_OCSP => revocation::ask_ocsp;
        ASK_OCSP_BY_PATH => revocation::ask_ocsp_by_path;
        SHOW_STATUS => status::show_status;
        SHOW_OPENAPI => status::show_openapi;
        HEALTHZ => status::healthz;
        READYZ => status::readyz;
        METRICS => status::show_metrics;
    }
    router
        .fallback(async || Problem::new(Code::NotFound, "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "this path has other methods")
        })
}

/// One route of the contract: its handler behind its access rule and its body limit.
fn mount<H, T>(
    router: Router<Controller>,
    controller: &Controller,
    route: &'static Route,
    handler: H,
) -> Router<Controller>
where
    H: Handler<T, Controller>,
    T: 'static,
{
    let method = match route.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    };
    let guard = auth::Guard {
        controller: controller.clone(),
        route,
    };
    let handler = on(method, handler)
        .layer(DefaultBodyLimit::max(route.body_limit))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    let handler = match scim::is_scim(route) {
        true => handler.layer(middleware::map_response(scim::error_form)),
        false => handler,
    };
    router.route(route.path, handler)
}

/// A page of a list, and where the next one begins: behind the last item of a full page.
fn page<S, T>(
    rows: Vec<S>,
    limit: u32,
    key: impl Fn(&S) -> String,
    shown: impl Fn(S) -> T,
) -> Page<T> {
    let full = rows.len() >= limit as usize;
    let next = rows.last().filter(|_| full).map(key);
    Page {
        items: rows.into_iter().map(shown).collect(),
        next,
    }
}

/// Everything of `more` behind everything of `all`.
fn append(all: &mut Commit, more: Commit) {
    all.guards.extend(more.guards);
    all.changes.extend(more.changes);
    all.entries.extend(more.entries);
}

/// A count as the contract has it.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A certificate for people; empty when it cannot be read.
fn pem_of(der: &[u8]) -> String {
    Certificate::from_der(der)
        .map(|certificate| certificate.pem())
        .unwrap_or_default()
}
