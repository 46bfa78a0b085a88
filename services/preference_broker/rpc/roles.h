// Who may call a method: the option `roles` of the protocol (options.proto). Methods without it are
// closed to all.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_ROLES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_ROLES_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "services/preference_broker/rpc/pool.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

using Method = google::protobuf::MethodDescriptor;

// The method that takes requests of this type. Each method of the protocol has a request type of
// its own, declared in the same file as its service.
const Method& MethodOf(const google::protobuf::Message& request);

// PERMISSION_DENIED unless the method names the role.
absl::Status CheckRole(const Method& method, Role role);
// Whether the method may be called without a token.
bool IsOpenToAnyone(const Method& method);
// Where its jobs wait: by who may call it, and by its shape.
Lane LaneOf(const Method& method);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_ROLES_H_
