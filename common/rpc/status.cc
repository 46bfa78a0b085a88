#include "common/rpc/status.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/limits.h"

namespace backflip::rpc {

// absl's and gRPC's codes are the same numbers by definition.
grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()),
                      std::string(status.message()));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // gRPC says of a message that is too large what others say of a peer that is busy
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
      absl::StrContains(status.error_message(), "message larger than max")) {
    return absl::OutOfRangeError(absl::StrCat("a message is over the limit of ",
                                              kMaxMessageBytes >> 20,
                                              " MB, and would be again: ", status.error_message()));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::string Sentence(absl::string_view text) {
  std::string sentence(text.substr(0, 1500));
  for (char& c : sentence) {
    if (!absl::ascii_isprint(c)) c = c == '\n' ? ' ' : '?';
  }
  return sentence;
}

}  // namespace backflip::rpc
