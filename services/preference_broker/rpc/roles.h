// Which role may call what: one table, denied unless named in it.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_ROLES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_ROLES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// `method` as "RunService/Create". PERMISSION_DENIED unless the table allows it.
absl::Status CheckRole(absl::string_view method, Role role);
// Whether it may be called without a token.
bool IsOpenToAnyone(absl::string_view method);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_ROLES_H_
