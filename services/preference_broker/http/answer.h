// An HTTP answer before it is written: status, headers and body.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_ANSWER_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_ANSWER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace backflip::preference_broker {

struct Answer {
  int status = 200;
  std::string content_type;
  // Never null; shared where many answers are the same.
  std::shared_ptr<const std::string> body = std::make_shared<std::string>();
  // The coding that the body is in: "gzip", or empty.
  std::string encoding;
  // To be compressed when that is worth it and `encoding` is empty.
  bool compressible = false;
  std::string cache_control = "no-store";
  // Further headers, without those that the server adds to every answer.
  std::vector<std::pair<std::string, std::string>> headers;
};

// A code's name in the Connect protocol: "invalid_argument".
absl::string_view ConnectCode(absl::StatusCode code);
// Its HTTP status, by Connect's table.
int ConnectHttpStatus(absl::StatusCode code);

// An error in Connect's form: {"code", "message"} in JSON. The first function takes the HTTP
// status from the table above. Messages may hold any bytes.
Answer ErrorAnswer(const absl::Status& status);
Answer ErrorAnswer(int http_status, const absl::Status& status);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_ANSWER_H_
