#include "services/preference_broker/rpc/roles.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "backflip/v1/options.pb.h"

namespace backflip::preference_broker {
namespace {

bool Names(const Method& method, v1::Role role) {
  const auto& roles = method.options().GetRepeatedExtension(v1::roles);
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

}  // namespace

const Method& MethodOf(const google::protobuf::Message& request) {
  const google::protobuf::FileDescriptor& file = *request.GetDescriptor()->file();
  for (int s = 0; s < file.service_count(); ++s) {
    for (int m = 0; m < file.service(s)->method_count(); ++m) {
      const Method& method = *file.service(s)->method(m);
      if (method.input_type() == request.GetDescriptor()) return method;
    }
  }
  std::abort();  // not a request of the protocol
}

bool IsOpenToAnyone(const Method& method) { return Names(method, v1::ROLE_ANYONE); }

Lane LaneOf(const Method& method) {
  const auto& roles = method.options().GetRepeatedExtension(v1::roles);
  const bool review = std::all_of(roles.begin(), roles.end(), [](int role) {
    return role == v1::ROLE_REVIEWER || role == v1::ROLE_OPERATOR;
  });
  if (review) return Lane::kReview;
  return method.client_streaming() || method.server_streaming() ? Lane::kBulk : Lane::kShort;
}

absl::Status CheckRole(const Method& method, Role role) {
  if (Names(method, static_cast<v1::Role>(role))) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("a ", RoleName(role), " may not call ",
                                                  method.service()->name(), "/", method.name(),
                                                  ": use a token of a role that may"));
}

}  // namespace backflip::preference_broker
