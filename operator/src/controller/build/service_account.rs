//! Service accounts: the hub's has a Role, the proxy's has nothing.

use hub_crds::names::{child, label_value};
use k8s_openapi::api::core::v1::ServiceAccount;

use super::{ValidatedHub, owned_meta};

pub(super) fn build_service_accounts(hub: &ValidatedHub) -> Vec<ServiceAccount> {
    [(child::hub(&hub.name), label_value::HUB), (child::proxy(&hub.name), label_value::PROXY)]
        .map(|(name, component)| ServiceAccount {
            metadata: owned_meta(hub, name, component),
            // The hub's pod asks for its token itself.
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        })
        .into()
}
