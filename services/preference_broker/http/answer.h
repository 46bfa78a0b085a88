// What an HTTP request gets: a status, headers and a body, before it is written.
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
  // The body is in this coding already: "gzip" or none.
  std::string encoding;
  // Compressed on the way out when that is worth it and `encoding` is empty.
  bool compressible = false;
  std::string cache_control = "no-store";
  // Further headers. Those that are on every answer are the server's business.
  std::vector<std::pair<std::string, std::string>> headers;
};

// A code's name in the Connect protocol: "invalid_argument".
absl::string_view ConnectCode(absl::StatusCode code);
// Its HTTP status, by Connect's table.
int ConnectHttpStatus(absl::StatusCode code);

// An error as Connect says it: {"code", "message"} in JSON. The first form takes the HTTP
// status from the table. Messages may hold any bytes.
Answer ErrorAnswer(const absl::Status& status);
Answer ErrorAnswer(int http_status, const absl::Status& status);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_ANSWER_H_
