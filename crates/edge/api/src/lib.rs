//! The HTTP contract: routes, types, errors, OpenAPI, and a client.
//!
//! This crate is the agreement between the controller and everybody who talks to it: the command
//! line, the console, scripts. It holds no behaviour of the controller and depends on nothing else
//! of ours, so whoever reads it knows what the API can do, and whoever changes it changes the
//! checked-in `openapi.json` beside it.
//!
//! * [`route::ROUTES`] is the API as data: method, path, roles, bodies. The controller mounts its
//!   handlers on these constants, the OpenAPI document is made from them, and a test can walk every
//!   route as every role.
//! * [`Role`] and [`may`] say who may do what; the whole table is checked in as `roles.txt`.
//! * [`Problem`] is the one shape of an error (RFC 9457), with a stable [`Code`] for programs and a
//!   next step for people.
//! * [`Version`] is the ETag of everything that changes (RFC 9110 §8.8.3), [`Page`] the shape of
//!   every list.
//! * [`Client`] calls each operation over any [`Transport`].
//!
//! Not here: sockets, TLS, authentication of tokens, and the event stream's transport.

mod admission;
mod claim;
mod client;
mod credential;
mod device;
pub mod gate;
mod journal;
mod manufacturer;
mod openapi;
mod page;
mod policy;
mod problem;
mod role;
pub mod route;
mod site;
mod token;
mod version;
mod wifi;

pub use admission::{
    AddGate, Confirmation, DeviceAdmission, Enforcement, Gate, GateInvitation, GateState,
    PutSegment, Segment, Session, SessionFilter, WaitQuery,
};
pub use claim::{ClaimAddress, DeviceAddress, DeviceClaim, RemoveAddress, StateClaim};
pub use client::{BearerToken, Client, ClientError, Tagged, Transport};
pub use credential::{Credential, CredentialFilter, CredentialState, RevocationReason, Revoke};
pub use device::{
    Approve, Claim, Device, DeviceFilter, DeviceState, ImportDevice, ImportDevices, ImportManifest,
    ImportResult, Reasoned, RefusedLine, Release, Released, Warning,
};
pub use gate::{AdmittedCredential, DesiredState};
pub use journal::{
    Checkpoint, DeviceJournalQuery, JournalEntry, JournalFault, JournalPage, JournalQuery,
    Verification,
};
pub use manufacturer::{AddManufacturer, Manufacturer, ManufacturerTrust, SetTrust};
pub use openapi::openapi;
pub use page::{Page, PageQuery};
pub use policy::{
    CheckPolicy, Decision, DryRun, DryRunChange, DryRunPolicy, Policy, PolicyCheck, PolicyFault,
    PutPolicy,
};
pub use problem::{Code, PROBLEM_JSON, Problem};
pub use role::{Role, UnknownRole, may, role_table};
pub use site::{AddOwner, Owner, Site, StateCount, Status};
pub use token::{CreateToken, CreatedToken, Token};
pub use version::{IfMatch, Version};
pub use wifi::{
    AccessCredential, AddCode, Announcement, BootstrappingKey, CallDevice, ClaimByUri,
    ClaimedByUri, DeviceCode, DeviceKey, DeviceRole, DeviceWifi, DppController, GivenNetwork,
    ImportKeys, KeyConflict, KeyFilter, KeySource, Network, NetworkCredential, PutNetwork,
    Reconfigure, RefusedAttempt, ScimDevice, ScimDpp, ScimError, ScimList, ScimMeta, ScimOperation,
    ScimPatch, ScimQuery, SettleKey,
};
