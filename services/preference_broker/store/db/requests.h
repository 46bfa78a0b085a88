// Idempotent calls of operators and reviewers: a repeated call changes nothing, and gets the
// first one's response.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_REQUESTS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_REQUESTS_H_

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// SHA-256 of a message, 32 bytes, by which a repeated call is recognised.
inline std::string BodyHash(const google::protobuf::MessageLite& message) {
  return base::Sha256(message.SerializeAsString());
}

// True: the call was made before, and `response` is its response.
// ALREADY_EXISTS: a call with this id asked for something else.
template <typename Request, typename Response>
absl::StatusOr<bool> AnsweredBefore(Transaction& t, const Request& request, Response* response) {
  const std::string body = BodyHash(request);
  const pqxx::result rows =
      t.Exec("SELECT body_sha256 = $2, response FROM operator_requests WHERE request_id = $1",
             request.request_id(), Bytes{body});
  if (rows.empty()) return false;
  if (!Bool(rows[0][0])) {
    return absl::AlreadyExistsError(
        absl::StrCat("request_id '", request.request_id(),
                     "' was used for another request: choose a new one for each"));
  }
  response->ParseFromString(Blob(rows[0][1]));
  return true;
}

// To be called once, in the transaction that did what was asked.
template <typename Request, typename Response>
void RememberAnswer(Transaction& t, int64_t caller_id, const Request& request,
                    const Response& response) {
  const std::string body = BodyHash(request);
  const std::string answer = response.SerializeAsString();
  t.Exec(
      "INSERT INTO operator_requests (request_id, caller_id, body_sha256, response) VALUES ($1, "
      "$2, $3, $4)",
      request.request_id(), caller_id, Bytes{body}, Bytes{answer});
}

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_REQUESTS_H_
