//! Operations of Wi-Fi: networks, bootstrapping keys, order systems, codes, the configurator's keys.

use bytes::Bytes;

use super::call::Call;
use super::{Answer, Client, Tagged, Transport};
use crate::route::{self, SCIM_JSON, TEXT_CSV};
use crate::{
    AddCode, Announcement, BootstrappingKey, CallDevice, ClaimByUri, ClaimedByUri, Device,
    DeviceCode, DppController, ImportKeys, ImportResult, KeyFilter, Network, Page, PageQuery,
    PutNetwork, Reasoned, Reconfigure, ScimDevice, ScimList, ScimPatch, ScimQuery, SettleKey,
    Version,
};

impl<T: Transport> Client<T> {
    /// Means a device for a Wi-Fi network.
    pub async fn reconfigure_device(
        &self,
        id: &str,
        reconfigure: &Reconfigure,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::RECONFIGURE_DEVICE)
                .id(id)
                .json(reconfigure)
                .if_match(version),
        )
        .await
    }

    /// Lists Wi-Fi networks.
    pub async fn list_networks(&self, page: &PageQuery) -> Answer<Page<Network>, T> {
        self.call(Call::new(route::LIST_NETWORKS).query(page)).await
    }

    /// Adds a Wi-Fi network.
    pub async fn add_network(&self, network: &PutNetwork) -> Answer<Network, T> {
        self.call(Call::new(route::ADD_NETWORK).json(network)).await
    }

    /// Shows one Wi-Fi network.
    pub async fn show_network(&self, name: &str) -> Answer<Tagged<Network>, T> {
        self.call_tagged(Call::new(route::SHOW_NETWORK).id(name))
            .await
    }

    /// Changes a Wi-Fi network.
    pub async fn put_network(&self, network: &PutNetwork, version: Version) -> Answer<Network, T> {
        self.call(
            Call::new(route::PUT_NETWORK)
                .id(&network.name)
                .json(network)
                .if_match(Some(version)),
        )
        .await
    }

    /// Removes a Wi-Fi network.
    pub async fn remove_network(&self, name: &str, version: Option<Version>) -> Answer<(), T> {
        self.exchange(Call::new(route::REMOVE_NETWORK).id(name).if_match(version))
            .await
            .map(drop)
    }

    /// Lists the bootstrapping keys of devices.
    pub async fn list_bootstrapping_keys(
        &self,
        filter: &KeyFilter,
        page: &PageQuery,
    ) -> Answer<Page<BootstrappingKey>, T> {
        self.call(
            Call::new(route::LIST_BOOTSTRAPPING_KEYS)
                .query(filter)
                .query(page),
        )
        .await
    }

    /// Claims a device by its bootstrapping URI.
    pub async fn claim_by_uri(&self, claim: &ClaimByUri) -> Answer<ClaimedByUri, T> {
        self.call(Call::new(route::CLAIM_BY_URI).json(claim)).await
    }

    /// Claims many devices by their bootstrapping URIs; with `dry_run` only says what that would do.
    pub async fn import_bootstrapping_keys(
        &self,
        keys: &ImportKeys,
        dry_run: bool,
    ) -> Answer<ImportResult, T> {
        self.call(
            Call::new(route::IMPORT_BOOTSTRAPPING_KEYS)
                .json(keys)
                .dry_run(dry_run),
        )
        .await
    }

    /// Claims many devices from comma-separated text with a header line.
    pub async fn import_bootstrapping_keys_csv(
        &self,
        csv: Bytes,
        dry_run: bool,
    ) -> Answer<ImportResult, T> {
        self.call(
            Call::new(route::IMPORT_BOOTSTRAPPING_KEYS)
                .body(TEXT_CSV, csv)
                .dry_run(dry_run),
        )
        .await
    }

    /// Claims a device as an order system provisions it (RFC 9944).
    pub async fn claim_by_scim(&self, device: &ScimDevice) -> Answer<ScimDevice, T> {
        self.call(Call::new(route::CLAIM_BY_SCIM).json_as(SCIM_JSON, device))
            .await
    }

    /// Lists the devices that order systems have provisioned.
    pub async fn list_scim_devices(&self, query: &ScimQuery) -> Answer<ScimList, T> {
        self.call(Call::new(route::LIST_SCIM_DEVICES).query(query))
            .await
    }

    /// Shows a device that an order system has provisioned.
    pub async fn show_scim_device(&self, id: &str) -> Answer<ScimDevice, T> {
        self.call(Call::new(route::SHOW_SCIM_DEVICE).id(id)).await
    }

    /// Keeps a device out that an order system has provisioned, or lets it in again.
    pub async fn change_by_scim(&self, id: &str, patch: &ScimPatch) -> Answer<ScimDevice, T> {
        let call = Call::new(route::CHANGE_BY_SCIM).id(id);
        self.call(call.json_as(SCIM_JSON, patch)).await
    }

    /// Says what of SCIM there is here.
    pub async fn show_scim_config(&self) -> Answer<serde_json::Value, T> {
        self.call(Call::new(route::SHOW_SCIM_CONFIG)).await
    }

    /// Lists the schemas of SCIM records.
    pub async fn list_scim_schemas(&self) -> Answer<serde_json::Value, T> {
        self.call(Call::new(route::LIST_SCIM_SCHEMAS)).await
    }

    /// Shows one schema of SCIM records.
    pub async fn show_scim_schema(&self, id: &str) -> Answer<serde_json::Value, T> {
        self.call(Call::new(route::SHOW_SCIM_SCHEMA).id(id)).await
    }

    /// Lists the types of SCIM records.
    pub async fn list_scim_resource_types(&self) -> Answer<serde_json::Value, T> {
        self.call(Call::new(route::LIST_SCIM_RESOURCE_TYPES)).await
    }

    /// Shows one type of SCIM records.
    pub async fn show_scim_resource_type(&self, id: &str) -> Answer<serde_json::Value, T> {
        self.call(Call::new(route::SHOW_SCIM_RESOURCE_TYPE).id(id))
            .await
    }

    /// Gives a device up that an order system has provisioned.
    pub async fn release_by_scim(&self, id: &str) -> Answer<(), T> {
        self.exchange(Call::new(route::RELEASE_BY_SCIM).id(id))
            .await
            .map(drop)
    }

    /// Shows one bootstrapping key.
    pub async fn show_bootstrapping_key(&self, id: &str) -> Answer<Tagged<BootstrappingKey>, T> {
        self.call_tagged(Call::new(route::SHOW_BOOTSTRAPPING_KEY).id(id))
            .await
    }

    /// Removes a bootstrapping key.
    pub async fn remove_bootstrapping_key(
        &self,
        id: &str,
        version: Option<Version>,
    ) -> Answer<(), T> {
        self.exchange(
            Call::new(route::REMOVE_BOOTSTRAPPING_KEY)
                .id(id)
                .if_match(version),
        )
        .await
        .map(drop)
    }

    /// Settles whose a bootstrapping key is.
    pub async fn settle_bootstrapping_key(
        &self,
        id: &str,
        settle: &SettleKey,
        version: Option<Version>,
    ) -> Answer<BootstrappingKey, T> {
        self.call(
            Call::new(route::SETTLE_BOOTSTRAPPING_KEY)
                .id(id)
                .json(settle)
                .if_match(version),
        )
        .await
    }

    /// Calls a device that listens, and configures it.
    pub async fn call_device(&self, id: &str, call: &CallDevice) -> Answer<BootstrappingKey, T> {
        self.call(Call::new(route::CALL_DEVICE).id(id).json(call))
            .await
    }

    /// Lists devices that showed themselves and whose keys nobody knows.
    pub async fn list_announcements(&self, page: &PageQuery) -> Answer<Page<Announcement>, T> {
        self.call(Call::new(route::LIST_ANNOUNCEMENTS).query(page))
            .await
    }

    /// Says how access points and devices reach the Wi-Fi Easy Connect controller.
    pub async fn show_dpp_controller(&self) -> Answer<DppController, T> {
        self.call(Call::new(route::SHOW_DPP_CONTROLLER)).await
    }

    /// Says a code that a device without a label has been told.
    pub async fn add_code(&self, code: &AddCode) -> Answer<DeviceCode, T> {
        self.call(Call::new(route::ADD_CODE).json(code)).await
    }

    /// Lists the codes that are good now.
    pub async fn list_codes(&self) -> Answer<Page<DeviceCode>, T> {
        self.call(Call::new(route::LIST_CODES)).await
    }

    /// Takes a code back.
    pub async fn remove_code(&self, id: &str) -> Answer<(), T> {
        self.exchange(Call::new(route::REMOVE_CODE).id(id))
            .await
            .map(|_| ())
    }

    /// Puts another key in force that signs connectors.
    pub async fn replace_signing_key(&self, why: &Reasoned) -> Answer<DppController, T> {
        self.call(Call::new(route::REPLACE_SIGNING_KEY).json(why))
            .await
    }
}
