// How a database is reached.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_URL_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_URL_H_

#include <string>

#include "absl/status/status.h"

namespace backflip::preference_broker {

// Whether passwords and data stay private on the way to the database of `url` and libpq's PG*
// variables: on this machine, or by an sslmode of require and stricter, or since sslmode=disable
// says by name that nobody else reads the network. INVALID_ARGUMENT: they do not, or it is no URL.
absl::Status CheckDatabaseUrl(const std::string& url);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_URL_H_
