//! The claim of the hub's database. Without an owner reference: it may outlive its Hub.

use hub_crds::names::{child, label, label_value};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};

use super::{ValidatedHub, free_meta};
use crate::controller::types::DatabasePlace;

/// None for a database that is elsewhere.
pub(super) fn build_database_claim(hub: &ValidatedHub) -> Option<PersistentVolumeClaim> {
    let DatabasePlace::Volume(volume) = &hub.database else { return None };
    let mut metadata = free_meta(hub, child::database_claim(&hub.name), &hub.namespace, label_value::HUB);
    metadata.labels.get_or_insert_default().insert(label::HUB_UID.to_owned(), hub.uid.clone());
    Some(PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: volume.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), volume.storage.to_quantity())].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}
