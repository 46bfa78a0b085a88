// How others reach a server of this machine.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_OWN_ADDRESS_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_OWN_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"

namespace backflip::policy_learner {

// `address` (host:port or unix:path), where a server listens. Where its host stands for all
// interfaces (0.0.0.0, [::]): the one on the way to `broker`, so that servers on several machines,
// or in several containers, have an address each. Asks the resolver, and sends nothing.
// Thread-safe. UNAVAILABLE: the broker's name is not known now, or there is no way to it.
absl::StatusOr<std::string> OwnAddress(const std::string& address, const std::string& broker);

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_OWN_ADDRESS_H_
