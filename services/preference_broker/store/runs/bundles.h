// Task bundles, by the hash of their bytes.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_BUNDLES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_BUNDLES_H_

#include <optional>
#include <string>

#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// `sha256`: hexadecimal, checked against `data` before. Idempotent.
absl::Status PutBundle(Connection& connection, const std::string& sha256, const std::string& data);

// Chunk `index` of at most 1 MB; nullopt after the last. NOT_FOUND: no such bundle.
absl::StatusOr<std::optional<std::string>> GetBundleChunk(Connection& connection,
                                                          const std::string& sha256, int32_t index);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_BUNDLES_H_
