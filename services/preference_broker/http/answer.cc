#include "services/preference_broker/http/answer.h"

#include <nlohmann/json.hpp>

#include "common/rpc/allowances.h"

namespace backflip::preference_broker {
namespace {

struct Code {
  absl::StatusCode code;
  const char* name;
  int http_status;
};

// https://connectrpc.com/docs/protocol#error-codes, but that OUT_OF_RANGE, which is said of sizes
// alone, is 413
constexpr Code kCodes[] = {
    {absl::StatusCode::kCancelled, "canceled", 499},
    {absl::StatusCode::kUnknown, "unknown", 500},
    {absl::StatusCode::kInvalidArgument, "invalid_argument", 400},
    {absl::StatusCode::kDeadlineExceeded, "deadline_exceeded", 504},
    {absl::StatusCode::kNotFound, "not_found", 404},
    {absl::StatusCode::kAlreadyExists, "already_exists", 409},
    {absl::StatusCode::kPermissionDenied, "permission_denied", 403},
    {absl::StatusCode::kResourceExhausted, "resource_exhausted", 429},
    {absl::StatusCode::kFailedPrecondition, "failed_precondition", 400},
    {absl::StatusCode::kAborted, "aborted", 409},
    {absl::StatusCode::kOutOfRange, "out_of_range", 413},
    {absl::StatusCode::kUnimplemented, "unimplemented", 501},
    {absl::StatusCode::kInternal, "internal", 500},
    {absl::StatusCode::kUnavailable, "unavailable", 503},
    {absl::StatusCode::kDataLoss, "data_loss", 500},
    {absl::StatusCode::kUnauthenticated, "unauthenticated", 401},
};

const Code& Find(absl::StatusCode code) {
  for (const Code& known : kCodes) {
    if (known.code == code) return known;
  }
  return kCodes[1];
}

}  // namespace

absl::string_view ConnectCode(absl::StatusCode code) { return Find(code).name; }
int ConnectHttpStatus(absl::StatusCode code) { return Find(code).http_status; }

Answer ErrorAnswer(const absl::Status& status) {
  return ErrorAnswer(ConnectHttpStatus(status.code()), status);
}

Answer ErrorAnswer(int http_status, const absl::Status& status) {
  Answer answer;
  answer.status = http_status;
  answer.content_type = "application/json";
  if (const auto after = status.GetPayload(rpc::kRetryAfter); after.has_value())
    answer.headers.emplace_back("Retry-After", std::string(*after));
  const nlohmann::json body = {{"code", Find(status.code()).name},
                               {"message", std::string(status.message())}};
  answer.body = std::make_shared<std::string>(
      body.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace));
  return answer;
}

}  // namespace backflip::preference_broker
