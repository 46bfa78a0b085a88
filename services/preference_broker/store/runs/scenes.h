// Scenes that clips are drawn with: binary glTF, by the hash of its bytes.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_SCENES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_SCENES_H_

#include <string>

#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Returns its hash, hexadecimal. Idempotent.
absl::StatusOr<std::string> PutScene(Connection& connection, const std::string& glb);

// `hash`: 64 hexadecimal digits. NOT_FOUND: no such scene.
absl::StatusOr<std::string> GetScene(Connection& connection, const std::string& hash);
absl::Status CheckSceneExists(Transaction& t, const std::string& hash);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_SCENES_H_
