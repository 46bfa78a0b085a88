#include "services/preference_broker/http/message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace backflip::preference_broker {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// Browsers run only scripts that are files from here, and do not show these pages in frames.
constexpr char kContentSecurityPolicy[] =
    "default-src 'self'; img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

// Features that these pages have no use for.
constexpr char kPermissionsPolicy[] =
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), bluetooth=()";

// Headers that decide something: who reads the first and who reads the last would decide otherwise.
constexpr const char* kSentOnce[] = {"Authorization",
                                     "Cookie",
                                     "Backflip-Page",
                                     "Origin",
                                     "Sec-Fetch-Site",
                                     "Host",
                                     "Content-Type",
                                     "Content-Encoding",
                                     "Connect-Protocol-Version",
                                     "Connect-Timeout-Ms"};

std::string Header(const http::fields& fields, http::field name) {
  const auto value = fields[name];
  return std::string(value.data(), value.size());
}
std::string Header(const http::fields& fields, const char* name) {
  const auto value = fields[name];
  return std::string(value.data(), value.size());
}

}  // namespace

void SetHeaders(const Answer& answer, bool secure, bool keep_alive, http::fields* fields) {
  if (secure) fields->set("Strict-Transport-Security", "max-age=31536000");
  fields->set("Cross-Origin-Opener-Policy", "same-origin");
  fields->set("Cross-Origin-Resource-Policy", "same-origin");
  fields->set("Permissions-Policy", kPermissionsPolicy);
  fields->set("Content-Security-Policy", kContentSecurityPolicy);
  fields->set("X-Content-Type-Options", "nosniff");
  fields->set("Referrer-Policy", "no-referrer");
  fields->set(http::field::cache_control, answer.cache_control);
  if (!answer.content_type.empty()) fields->set(http::field::content_type, answer.content_type);
  if (!answer.encoding.empty()) fields->set(http::field::content_encoding, answer.encoding);
  if (answer.status == 429 || answer.status == 503) fields->set(http::field::retry_after, "5");
  for (const auto& [name, value] : answer.headers) fields->set(name, value);
  if (!keep_alive) fields->set(http::field::connection, "close");
}

std::string Place(const asio::ip::address& address) {
  if (!address.is_v6()) return address.to_string();
  const asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return absl::StrCat(asio::ip::address_v6(bytes).to_string(), "/64");
}

std::string ForwardedPlace(const http::fields& fields, const std::string& peer) {
  // the proxy's own line is the last: some add theirs to what the client sends
  std::string hops;
  const auto lines = fields.equal_range("X-Forwarded-For");
  for (auto line = lines.first; line != lines.second; ++line)
    hops.assign(line->value().data(), line->value().size());
  error_code error;
  const auto address = asio::ip::make_address(
      std::string(absl::StripAsciiWhitespace(hops.substr(hops.rfind(',') + 1))), error);
  return error ? peer : Place(address);
}

HttpRequest Head(const http::request_header<>& message) {
  HttpRequest request;
  request.method = std::string(message.method_string().data(), message.method_string().size());
  request.target = std::string(message.target().data(), message.target().size());
  request.authorization = Header(message, http::field::authorization);
  request.cookie = Header(message, http::field::cookie);
  request.page = Header(message, "Backflip-Page");
  request.origin = Header(message, http::field::origin);
  request.fetch_site = Header(message, "Sec-Fetch-Site");
  request.host = Header(message, http::field::host);
  request.content_type = Header(message, http::field::content_type);
  request.content_encoding = Header(message, http::field::content_encoding);
  request.accept = Header(message, http::field::accept);
  request.accept_encoding = Header(message, http::field::accept_encoding);
  request.if_none_match = Header(message, http::field::if_none_match);
  request.connect_protocol_version = Header(message, "Connect-Protocol-Version");
  request.connect_timeout_ms = Header(message, "Connect-Timeout-Ms");
  for (const char* name : kSentOnce) {
    if (message.count(name) > 1) request.doubled = name;
  }
  return request;
}

Answer TooLong(size_t limit) {
  if (limit == 0) return ErrorAnswer(absl::OutOfRangeError("GET and HEAD take no body"));
  return ErrorAnswer(absl::OutOfRangeError(
      absl::StrCat("the body of the request is longer than ", limit, " bytes")));
}

Answer BadRequest(const error_code& error) {
  if (error == http::error::header_limit) {
    return ErrorAnswer(
        431, absl::OutOfRangeError(absl::StrCat("the headers of the request are longer than ",
                                                kMaxHeaderBytes, " bytes")));
  }
  if (error == http::error::body_limit) return TooLong(kMaxBodyBytes);
  return ErrorAnswer(
      absl::InvalidArgumentError(absl::StrCat("this is not HTTP/1.1: ", error.message())));
}

Answer Busy() {
  return ErrorAnswer(absl::UnavailableError("the broker is busy: try again in a moment"));
}

}  // namespace backflip::preference_broker
