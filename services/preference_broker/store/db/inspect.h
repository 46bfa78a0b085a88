// What an operator should know of the database.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_INSPECT_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_INSPECT_H_

#include <string>

#include "absl/status/statusor.h"

namespace backflip::preference_broker {

// Lines of a name, a space and a value: server_version; schema, the migrations that it has, and
// schema_known, those of this program; synchronous_commit (of the broker's sessions) and fsync;
// clock_ahead_ms, of ours; bytes, of the database; data_directory, where it is on this machine and
// we may know, else empty. Changes nothing. UNAVAILABLE: the database
// cannot be reached; FAILED_PRECONDITION: a broker could not use it. Blocks for seconds.
absl::StatusOr<std::string> Inspect(const std::string& url);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_INSPECT_H_
