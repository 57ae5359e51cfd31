//! Who may do what.
//!
//! A token has exactly one role. Roles are not a ladder: an auditor reads more than an installer
//! and changes nothing, a line in a warehouse may add devices and see nothing else.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::route::{Access, ROUTES, Route};

/// What a token is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything, including policy, trust in manufacturers, and tokens.
    Admin,
    /// The daily work with devices and credentials; reads everything.
    Operator,
    /// Brings devices in on site: imports, claims and approves; sees devices.
    Installer,
    /// Reads everything and verifies the journal; changes nothing.
    Auditor,
    /// A machine on a receiving or staging line: imports and claims, sees the device it asks for.
    DeviceLine,
}

impl Role {
    /// All roles, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::Operator,
        Self::Installer,
        Self::Auditor,
        Self::DeviceLine,
    ];

    /// The role as it stands in JSON, `kebab-case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Installer => "installer",
            Self::Auditor => "auditor",
            Self::DeviceLine => "device-line",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; the roles are admin, operator, installer, auditor and device-line")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Whether a token with this role may call this route. Deny is the default: a route lists who may.
#[must_use]
pub fn may(role: Role, route: &Route) -> bool {
    match route.access {
        Access::Open | Access::AnyToken => true,
        Access::Roles(roles) => roles.contains(&role),
    }
}

/// Every route against every role, as text: the table that is checked in as `roles.txt`.
#[must_use]
pub fn role_table() -> String {
    let mut table = format!("{:<26}", "operation");
    for role in Role::ALL {
        let _ = write!(table, " {:<11}", role.as_str());
    }
    table.push_str(" no token\n");
    for route in ROUTES {
        let _ = write!(table, "{:<26}", route.id);
        for role in Role::ALL {
            let _ = write!(table, " {:<11}", if may(role, route) { "yes" } else { "-" });
        }
        table.push_str(if route.access == Access::Open {
            " yes\n"
        } else {
            " -\n"
        });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Method;

    #[test]
    fn an_auditor_changes_nothing() {
        // These are POSTs that leave devices and rules as they are.
        let harmless = [
            "check_policy",
            "dry_run_policy",
            "verify_journal",
            "create_checkpoint",
            "ask_ocsp",
        ];
        for route in ROUTES.iter().filter(|route| may(Role::Auditor, route)) {
            assert!(
                route.method == Method::Get || harmless.contains(&route.id),
                "{} lets an auditor change something",
                route.id
            );
        }
    }

    #[test]
    fn only_an_admin_touches_tokens_policy_trust_and_networks() {
        for id in [
            "create_token",
            "revoke_token",
            "put_policy",
            "set_manufacturer_trust",
            "add_network",
            "put_network",
            "remove_network",
        ] {
            let route = ROUTES.iter().find(|route| route.id == id).unwrap();
            for role in Role::ALL {
                assert_eq!(may(role, route), role == Role::Admin, "{id} as {role}");
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
