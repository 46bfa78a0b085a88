// gzip, as HTTP's content coding.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GZIP_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GZIP_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::preference_broker {

// `level`: 1 (fast) to 9 (small).
std::string Gzip(absl::string_view bytes, int level);

// Decompresses one gzip member with nothing after it. INVALID_ARGUMENT: it is no gzip, or
// damaged. OUT_OF_RANGE: it has more than `limit` bytes; no more are ever held.
absl::StatusOr<std::string> Gunzip(absl::string_view bytes, size_t limit);

// Whether an Accept-Encoding header allows gzip (RFC 9110, section 12.5.3).
bool AcceptsGzip(absl::string_view accept_encoding);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GZIP_H_
